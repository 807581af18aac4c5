"""Stage `embed`: one pass of the frozen backbone over training and validation images."""

from __future__ import annotations

from collections.abc import Sequence

from pipelines import paths
from src import cli
from src.config import Experiment, load_params


def main(argv: Sequence[str] | None = None) -> None:
    """Write data/features.safetensors."""
    cli.parser(
        "pipelines.embed",
        "Run the frozen backbone once: data/features.safetensors, which heads train on.",
        "  python -m pipelines.embed\n  dvc repro embed",
    ).parse_args(argv)
    params = load_params()

    from src.training.device import resolve
    from src.training.fit import Fit, Inventory, make_features

    # Features are the same for every head, so that a change of one reruns nothing here.
    any_head = Experiment(train=("head",), batch_size=1, epochs=1)
    compute = resolve(params.engine.device, params.engine.precision)
    inventory = Inventory.load(paths.FACES, paths.SOURCE)
    recipe = params.recipes[params.recipe]
    work = Fit(inventory, any_head, recipe, params, compute, paths.SCRATCH, "embed")
    make_features(work).save(paths.FEATURES)


if __name__ == "__main__":
    cli.run(main)
