"""Stage `weights`: put the source network in place."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipelines import paths
from src import cli
from src.config import Params, load_params


def main(argv: Sequence[str] | None = None) -> None:
    """Write models/source.safetensors from what `weights` in params.yaml asks for."""
    cli.parser(
        "pipelines.weights",
        "Put the source network in place: models/source.safetensors.",
        "  python -m pipelines.weights\n  dvc repro weights\n"
        "  dvc exp run -S weights=file:resnet18.safetensors",
    ).parse_args(argv)
    params = load_params()
    _source(params)


def _source(params: Params) -> None:
    from src.models import weights

    backbone = params.model.backbone
    if params.weights == "imagenet":
        source = weights.imagenet_weights(backbone)
    elif params.weights == "scratch":
        source = weights.random_weights(backbone, params.seed)
    elif params.weights == "pretrain":
        from src.training.pretrain import pretrain

        source = pretrain(params)
    else:
        source = weights.file_weights(Path(params.weights.removeprefix("file:")), backbone)
    source.save(paths.SOURCE)


if __name__ == "__main__":
    cli.run(main)
