"""Stage `embed`: one pass of the frozen backbone over training and validation images."""

from __future__ import annotations

from collections.abc import Sequence

from pipelines import paths
from src import cli
from src.config import load_params


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

    head_only = next(
        (
            experiment
            for experiment in params.experiments.values()
            if set(experiment.train) == {"head"} and experiment.start == "source"
        ),
        next(iter(params.experiments.values())),
    )
    compute = resolve(params.engine.device, params.engine.precision)
    recipe = params.recipes[params.recipe]
    work = Fit(
        Inventory.load(paths.FACES, paths.SOURCE),
        head_only,
        recipe,
        params,
        compute,
        paths.SCRATCH,
        "embed",
    )
    make_features(work).save(paths.FEATURES)


if __name__ == "__main__":
    cli.run(main)
