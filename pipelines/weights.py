"""Stage `weights`: put the source network in place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from src import cli, paths
from src.config import Imagenet, Params, Pretrain, Source, load_params, read_source
from src.errors import WeightsError

if TYPE_CHECKING:
    from src.models.weights import SourceWeights


def main(argv: Sequence[str] | None = None) -> None:
    """Write models/source.safetensors from what `weights.origin` in params.yaml names."""
    cli.parser(
        "pipelines.weights",
        "Put the source network in place: models/source.safetensors.",
        "  python -m pipelines.weights\n  dvc repro weights\n"
        "  dvc exp run -S weights.origin=weights/imagenet.yaml\n"
        "  dvc exp run -S weights.origin=weights/my_resnet18.safetensors",
    ).parse_args(argv)
    source = source_of(load_params())
    source.save(paths.SOURCE)
    print(f"source weights: {source.backbone}, {source.origin}")


def source_of(params: Params) -> SourceWeights:
    """The weights of `weights.origin`, with the licence it states.

    Raises WeightsError, or ConfigError for a bad recipe.
    """
    path = Path(params.weights.origin)
    if not path.is_file():
        recipes = ", ".join(map(str, sorted(path.parent.glob("*.yaml")))) or "those of weights/"
        mend = f"set weights.origin to a file of weights or one of {recipes}"
        raise WeightsError(str(path), "no such file", mend)
    if path.suffix in (".yaml", ".yml"):
        recipe = read_source(path)
        return replace(_made(recipe, params), licence=recipe.licence)

    from src.models.pretrained import file_weights

    return file_weights(path, params.model.backbone)


def _made(recipe: Source, params: Params) -> SourceWeights:
    from src.models.pretrained import imagenet_weights
    from src.models.weights import random_weights
    from src.training.pretrain import pretrain

    if isinstance(recipe, Pretrain):
        return pretrain(recipe, params)
    if isinstance(recipe, Imagenet):
        return imagenet_weights(params.model.backbone)
    return random_weights(params.model.backbone, params.seed)


if __name__ == "__main__":
    cli.run(main)
