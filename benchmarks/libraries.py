"""`python -m benchmarks.libraries`: do our own parts still pay beside what the libraries offer?"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial

import torch
from torch import Tensor

from benchmarks.options import count
from benchmarks.turns import in_turn
from src import cli

EXAMPLES = """\
  python -m benchmarks.libraries
  OMP_NUM_THREADS=1 python -m benchmarks.libraries --repeats 9 --json"""
IMAGES, SIZE, BATCH, JITTER = 256, 64, 64, (0.4, 0.4, 0.4, 0.1)
FIRST_STEP = """
from contextlib import nullcontext
from src.models.imports import without_dynamo
with {context}():
    import torch, torchvision
    layer = torch.nn.Linear(3, 3)
    optimizer = torch.optim.AdamW(layer.parameters(), fused=True)
    layer(torch.rand(2, 3)).sum().backward()
    optimizer.step()
"""


@dataclass(frozen=True)
class PartTiming:
    """Medians over alternating repeats, in seconds on the clock; the ratio is theirs over ours."""

    part: str
    seconds: float
    library_seconds: float
    ratio: float
    ratio_low: float
    ratio_high: float

    def __str__(self) -> str:
        return (
            f"{self.part:<48}{self.seconds:9.3f} s {self.library_seconds:9.3f} s"
            f"{self.ratio:7.2f} ({self.ratio_low:.2f} to {self.ratio_high:.2f})"
        )


HEADER = f"{'part':<48}{'ours':>11}{'library':>12}{'ratio (range)':>23}"


def main(argv: Sequence[str] | None = None) -> None:
    """Time parts that a library has, too: augmentation, and imports up to a first step."""
    parser = cli.parser("benchmarks.libraries", str(main.__doc__), EXAMPLES)
    parser.add_argument("--repeats", type=count, default=5, help="repeats of each (%(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(argv)
    timings = [
        time_part("augmentation, against torchvision.transforms.v2", *augment(), options.repeats),
        time_part("imports and a first step, without TorchDynamo", *first_step(), options.repeats),
    ]
    if options.json:
        print(json.dumps([asdict(timing) for timing in timings]))
    else:
        print(HEADER, *timings, sep="\n")


def time_part(
    part: str, ours: Callable[[], object], library: Callable[[], object], repeats: int
) -> PartTiming:
    """Run both in turn, after running each once unmeasured."""
    ours(), library()
    pairs = in_turn(partial(_seconds, ours), partial(_seconds, library), repeats)
    seconds, library_seconds = map(statistics.median, zip(*pairs, strict=True))
    ratios = sorted(b / a for a, b in pairs)
    return PartTiming(
        part=part,
        seconds=seconds,
        library_seconds=library_seconds,
        ratio=statistics.median(ratios),
        ratio_low=ratios[0],
        ratio_high=ratios[-1],
    )


def augment() -> tuple[Callable[[], list[Tensor]], Callable[[], Tensor]]:
    """An epoch of IMAGES images, in batches by the engine and one by one by torchvision."""
    from torchvision.transforms import v2

    from src.config import Augment
    from src.models.network import ModelSpec
    from src.training.augment import augmented
    from src.training.inputs import ImageInputs

    images = torch.randint(256, (IMAGES, 3, SIZE, SIZE), dtype=torch.uint8)
    brightness, contrast, saturation, hue = JITTER
    augmentation = Augment(
        random_resized_crop=True,
        scale=(0.3, 1.0),
        brightness=brightness,
        contrast=contrast,
        saturation=saturation,
        hue=hue,
    )
    spec = ModelSpec(backbone="resnet18", stem="stride1", image_size=SIZE, subjects=("a",))
    per_image = v2.Compose(
        [
            v2.RandomResizedCrop(SIZE, scale=(0.3, 1.0), antialias=True),
            v2.RandomHorizontalFlip(),
            v2.ToDtype(torch.float32, scale=True),
            v2.ColorJitter(*JITTER),
            v2.Normalize([0.0] * 3, [1.0] * 3),
        ]
    )

    def ours() -> list[Tensor]:
        inputs = augmented(ImageInputs(images, spec), augmentation, seed=0, epoch=1)
        return [inputs.batch(rows, rows % 2) for rows in torch.split(torch.arange(IMAGES), BATCH)]

    return ours, lambda: torch.stack([per_image(image) for image in images])


def first_step() -> tuple[Callable[[], object], Callable[[], object]]:
    """A process that imports torch and torchvision and makes one step of an optimizer."""

    def process(context: str) -> Callable[[], object]:
        command = [sys.executable, "-c", FIRST_STEP.format(context=context)]
        return lambda: subprocess.run(command, check=True)  # noqa: S603 - our own code

    return process("without_dynamo"), process("nullcontext")


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    cli.run(main)
