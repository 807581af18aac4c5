"""`python -m benchmarks.scaling`: what training costs as pictures, subjects or epochs grow."""

from __future__ import annotations

import json
import multiprocessing
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.options import add_inputs, count, with_changes
from src import cli
from src.config import load_params

if TYPE_CHECKING:
    from src.data.faceset import FaceSet

VALIDATION = 10  # training pictures for each of validation
EXAMPLES = """\
  python -m benchmarks.scaling --experiment Baseline ModelA --images 500 2000 20000
  python -m benchmarks.scaling --experiment Baseline --images 2000 --subjects 20 100 1000
  python -m benchmarks.scaling --experiment ModelC --images 500 --measured-epochs 2 --json"""


@dataclass(frozen=True)
class Point:
    """One training of one size. `seconds` is the whole: once, and `epochs` times an epoch.

    once_seconds: before the first epoch, a frozen prefix's cache above all. epoch_seconds: mean of
    the epochs that were run, `measured_epochs`. peak_memory_mb: of a process of its own, MiB.
    """

    experiment: str
    images: int
    subjects: int
    epochs: int
    measured_epochs: int
    once_seconds: float
    epoch_seconds: float
    seconds: float
    peak_memory_mb: float


def main(argv: Sequence[str] | None = None) -> None:
    """Time the engine alone on the packed pictures, repeated to any number.

    Every combination of the options is trained in a process of its own. Names are dealt out to
    the pictures in turn, so accuracy means nothing here and is not shown. Beside the training
    pictures there is a tenth as many for validation.
    """
    parser = cli.parser("benchmarks.scaling", str(main.__doc__), EXAMPLES)
    parser.add_argument("--experiment", nargs="+", required=True, help="names in params.yaml")
    parser.add_argument("--images", nargs="+", type=count, required=True, help="for training")
    parser.add_argument("--subjects", nargs="+", type=count, default=[100])
    parser.add_argument("--epochs", nargs="+", type=count, help="instead of each one's own")
    parser.add_argument(
        "--measured-epochs", type=count, help="run no more than these, and project the rest"
    )
    add_inputs(parser)
    options = parser.parse_args(argv)
    params = load_params()
    sizes = product(options.experiment, options.images, options.subjects, options.epochs or [None])
    tasks = [
        (name, images, subjects, epochs or params.experiment(name).epochs)
        for name, images, subjects, epochs in sizes
    ]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context, max_tasks_per_child=1) as pool:
        if not options.json:
            print(HEADER)
        for task in tasks:
            limit = options.measured_epochs or task[-1]
            point = pool.submit(measure, *task, limit, options.faces, options.source).result()
            print(json.dumps(asdict(point)) if options.json else as_row(point), flush=True)


def measure(
    name: str, images: int, subjects: int, epochs: int, limit: int, faces: Path, source: Path
) -> Point:
    """Train one experiment for `limit` of its `epochs` on so many pictures of so many subjects."""
    from benchmarks.engine import run_engine
    from benchmarks.memory import peak_memory
    from src.training.job import StartingPoint, TrainingJob

    measured = min(limit, epochs)
    params = with_changes(load_params(), name, measured)
    starting_point = StartingPoint.load(faces, source)
    starting_point = replace(starting_point, faces=enlarged(starting_point.faces, images, subjects))
    with tempfile.TemporaryDirectory() as folder:
        job = TrainingJob.of(name, params, starting_point, Path(folder))
        run = run_engine(job)
    once, epoch = run.once_seconds, (run.seconds - run.once_seconds) / measured
    peak = peak_memory(job.compute)
    return Point(name, images, subjects, epochs, measured, once, epoch, once + epochs * epoch, peak)


def enlarged(faces: FaceSet, images: int, subjects: int) -> FaceSet:
    """The training pictures, repeated to `images` and a tenth more, under names dealt in turn."""
    import torch

    from src.data.faceset import FaceSet, Split

    given, _ = faces.part(Split.train)
    total = images + max(1, images // VALIDATION)
    rows = torch.arange(total)
    split = torch.where(rows < images, Split.train.value, Split.val.value).to(torch.uint8)
    names = tuple(f"{number:05d}" for number in range(subjects))
    return FaceSet(given[rows % len(given)], rows % subjects, split, names)


HEADER = (
    f"{'experiment':<28}{'images':>8}{'subjects':>9}{'epochs':>8}{'once s':>9}"
    f"{'s/epoch':>9}{'in all s':>10}{'peak MiB':>10}"
)


def as_row(point: Point) -> str:
    """One line of the table."""
    projected = "" if point.measured_epochs == point.epochs else f"  from {point.measured_epochs}"
    return (
        f"{point.experiment:<28}{point.images:>8,}{point.subjects:>9,}{point.epochs:>8}"
        f"{point.once_seconds:>9.1f}{point.epoch_seconds:>9.3f}{point.seconds:>10.1f}"
        f"{point.peak_memory_mb:>10,.0f}{projected}"
    )


if __name__ == "__main__":
    cli.run(main)
