"""Stage `weights`: load or train the source weights."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from src import cli, paths
from src.config import Params, SourceTask, load_params
from src.config.weights import ImagenetWeights, WeightsOrigin, read_weights_origin
from src.errors import WeightsError

if TYPE_CHECKING:
    from src.models.weights import SourceWeights


def main(argv: Sequence[str] | None = None) -> None:
    """Write models/source.safetensors from `weights.origin` in params.yaml."""
    cli.parser(
        "pipelines.weights",
        "Load or train the source weights: models/source.safetensors.",
        "  python -m pipelines.weights\n  dvc repro weights\n"
        "  dvc exp run -S weights.origin=weights/imagenet.yaml\n"
        "  dvc exp run -S weights.origin=weights/my_resnet18.safetensors",
    ).parse_args(argv)
    from src.training.pretrain import discard_checkpoint

    source = source_of(load_params())
    source.save(paths.SOURCE)
    discard_checkpoint(source.backbone, paths.SCRATCH)
    print(f"source weights: {source.backbone}, {source.origin}")


def source_of(params: Params) -> SourceWeights:
    """The weights that `weights.origin` names, with the licence that an origin file states.

    Raises WeightsError, or ConfigError for an origin file that is not valid.
    """
    path = Path(params.weights.origin)
    # Unlike Path.is_file, this is False for a name that is too long for a file.
    if not os.path.isfile(path):  # noqa: PTH113
        near = sorted(path.parent.glob("*.yaml")) if os.path.isdir(path.parent) else []  # noqa: PTH112
        files = ", ".join(map(str, near)) or "those in weights/"
        mend = f"set weights.origin to a file of weights or one of {files}"
        raise WeightsError(str(path), "no such file", mend)
    if path.suffix in (".yaml", ".yml"):
        origin = read_weights_origin(path)
        return replace(_make(origin, params), licence=origin.licence)

    from src.models.pretrained import file_weights

    return file_weights(path, params.model.backbone)


def _make(origin: WeightsOrigin, params: Params) -> SourceWeights:
    from src.models.pretrained import imagenet_weights
    from src.models.weights import random_weights
    from src.training.device import resolve
    from src.training.pretrain import pretrain

    if isinstance(origin, SourceTask):
        return pretrain(
            origin,
            backbone=params.model.backbone,
            image_size=params.data.image_size,
            seed=params.seed,
            compute=resolve(params.engine.device, params.engine.precision),
            scratch=paths.SCRATCH,
        )
    if isinstance(origin, ImagenetWeights):
        return imagenet_weights(params.model.backbone)
    return random_weights(params.model.backbone, params.seed)


if __name__ == "__main__":
    cli.run(main)
