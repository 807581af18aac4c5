"""Stage `embed`: one pass of the frozen backbone over training and validation images."""

from __future__ import annotations

from collections.abc import Sequence

from src import cli, paths
from src.config import Experiment, load_params


def main(argv: Sequence[str] | None = None) -> None:
    """Write data/features.safetensors."""
    cli.parser(
        "pipelines.embed",
        "Run the frozen backbone once: data/features.safetensors, which heads train on.",
        "  python -m pipelines.embed\n  dvc repro embed",
    ).parse_args(argv)
    params = load_params()

    from src.training.job import StartingPoint, TrainingJob, make_features

    # Features are the same for every head, so that a change of one reruns nothing here.
    any_head = Experiment(train=("head",), batch_size=1, epochs=1)
    starting_point = StartingPoint.load(paths.FACES, paths.SOURCE)
    job = TrainingJob.of("embed", params, starting_point, paths.SCRATCH, experiment=any_head)
    features = make_features(job)
    features.save(paths.FEATURES)
    views, images, width = features.values.shape
    print(
        f"features: {width} numbers for each of {images} training images in {views} views, "
        f"and of {len(features.val_labels)} validation images"
    )


if __name__ == "__main__":
    cli.run(main)
