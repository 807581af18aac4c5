"""Stage `pretrain@BACKBONE` of pretraining/dvc.yaml: the source weights that the project ships."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from src import cli, paths
from src.config import SourceTask
from src.config.weights import read_weights_origin
from src.errors import ConfigError
from src.files import digest, write_json

SEED, IMAGE_SIZE = 0, 64


def main(argv: Sequence[str] | None = None) -> None:
    """Train a backbone on what an origin file draws; write weights/BACKBONE.safetensors."""
    parser = cli.parser(
        "pipelines.pretrain",
        str(main.__doc__),
        "  python -m pipelines.pretrain resnet18 weights/objects.yaml\n"
        "  dvc repro pretraining/dvc.yaml",
    )
    parser.add_argument("backbone", help="one of torchvision's, as in model.backbone")
    parser.add_argument("origin", type=Path, help="a file of kind `pretrain` in weights/")
    options = parser.parse_args(argv)
    run(options.backbone, options.origin)


def run(backbone: str, origin: Path) -> None:
    """Train for as long as it takes; a run that was stopped resumes. Raises ConfigError."""
    from src.models.backbones import BACKBONES
    from src.training.device import resolve
    from src.training.pretrain import discard_checkpoint, pretrain

    if backbone not in BACKBONES:
        raise ConfigError("BACKBONE", f"is {backbone!r}", f"use one of {', '.join(BACKBONES)}")
    task = read_weights_origin(origin)
    if not isinstance(task, SourceTask):
        raise ConfigError(str(origin), f"its kind is {task.kind}", "use pretrain")
    source = pretrain(
        task,
        backbone=backbone,
        image_size=IMAGE_SIZE,
        seed=SEED,
        compute=resolve("auto", "auto"),
        scratch=paths.SCRATCH,
    )
    target = paths.shipped_weights(backbone)
    replace(source.halved(), licence=task.licence).save(target)
    facts = {"origin": source.origin, "seed": SEED, "sha256": digest(target, "sha256")}
    write_json(target.with_suffix(".json"), facts)
    discard_checkpoint(backbone, paths.SCRATCH)
    print(f"{target}: {source.origin}")


if __name__ == "__main__":
    cli.run(main)
