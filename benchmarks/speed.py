"""`python -m benchmarks.speed`: one experiment by the engine and by the plain loop, in turn."""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from benchmarks.accuracy import points
from benchmarks.options import add_inputs, count, dtype_name, two_or_more, with_changes
from benchmarks.turns import both
from src import cli
from src.config import load_params

if TYPE_CHECKING:
    from benchmarks.engine import EngineRun
    from benchmarks.plain import Terms
    from src.training.job import TrainingJob

EXAMPLES = """\
  python -m benchmarks.speed --experiment ModelA
  python -m benchmarks.speed --experiment Baseline --epochs 100 --plain-epochs 2
  python -m benchmarks.speed --experiment Baseline --plain-dtype bfloat16 --plain-cached
  python -m benchmarks.speed --experiment ModelC --repeats 3 --json"""
DTYPES = ("float32", "bfloat16")


@dataclass(frozen=True)
class SpeedComparison:
    """Medians over the repeats, each of which trains both ways from a seed of its own.

    projected: how many epochs of the plain loop were timed, or None if all were; the rest was
    then trained on stored outputs of the frozen prefix, and plain_accuracy is None where nothing
    is frozen. precision: the engine's. matrix_gflops: of a large product right after each training.
    startup_seconds: from the start of the process to the engine's first epoch, caching included.
    """

    experiment: str
    recipe: str
    device: str
    precision: str
    plain_dtype: str
    plain_cached: bool
    epochs: int
    seconds_per_epoch: float
    plain_seconds_per_epoch: float
    ratio: float
    ratio_low: float
    ratio_high: float
    images_per_second: float
    accuracy: float
    plain_accuracy: float | None
    accuracies: tuple[float, ...]
    plain_accuracies: tuple[float, ...]
    projected: int | None
    peak_memory_mb: float
    floor_seconds_per_epoch: float
    matrix_gflops: float
    startup_seconds: float

    def __str__(self) -> str:
        projected = f", projected from {self.projected}" if self.projected else ""
        cached = ", caching included" if self.plain_cached else ""
        share = self.floor_seconds_per_epoch / self.seconds_per_epoch
        return (
            f"{self.experiment} ({self.recipe}), {self.epochs} epochs on {self.device}\n"
            f"  this engine  {self.seconds_per_epoch:9.3f} s/epoch in {self.precision}, caching "
            f"included  ({self.images_per_second:,.0f} images/s)\n"
            f"  plain loop   {self.plain_seconds_per_epoch:9.3f} s/epoch in {self.plain_dtype}"
            f"{cached}{projected}\n"
            f"  ratio        {self.ratio:9.1f}x"
            f"  ({self.ratio_low:.1f} to {self.ratio_high:.1f})\n"
            f"  accuracy     {self.accuracy:9.1%}  {self._plain_accuracy()}\n"
            f"  peak memory  {self.peak_memory_mb:9,.0f} MiB\n"
            f"  floor        {self.floor_seconds_per_epoch:9.3f} s/epoch"
            f"  at the measured {self.matrix_gflops:,.0f} GFLOP/s, of which {share:.0%} reached\n"
            f"  start-up     {self.startup_seconds:9.1f} s, to the first epoch"
        )

    def _plain_accuracy(self) -> str:
        if self.plain_accuracy is None:
            return "(plain: not run to the end)"
        finished = ", finished on stored outputs of the frozen prefix" if self.projected else ""
        difference = points(self.accuracies, self.plain_accuracies)
        return f"(plain: {self.plain_accuracy:.1%}{finished}; difference {difference} points)"


def main(argv: Sequence[str] | None = None) -> None:
    """Train one experiment by the engine and by a plain PyTorch loop, and compare.

    Both use the same images, recipe and epochs. Every repeat takes the next seed. Accuracies are
    on the test split. The floor is the time that the arithmetic alone would take.
    """
    parser = cli.parser("benchmarks.speed", str(main.__doc__), EXAMPLES)
    parser.add_argument(
        "--experiment", required=True, help="a name under `experiments` in params.yaml"
    )
    parser.add_argument("--epochs", type=count, help="instead of the experiment's own")
    parser.add_argument("--recipe", help="instead of the experiment's own")
    parser.add_argument(
        "--repeats", type=count, default=1, help="of each way, alternating (%(default)s)"
    )
    parser.add_argument(
        "--plain-epochs",
        type=two_or_more,
        help="time only so many epochs of the plain loop and project the rest; the first, which "
        "starts the loader's workers, is counted once",
    )
    parser.add_argument(
        "--plain-dtype",
        choices=DTYPES,
        default=DTYPES[0],
        help="of the plain loop's products, by autocast (%(default)s)",
    )
    parser.add_argument(
        "--plain-cached",
        action="store_true",
        help="have the plain loop too compute frozen outputs once, within its first epoch",
    )
    add_inputs(parser)
    options = parser.parse_args(argv)
    params = with_changes(load_params(), options.experiment, options.epochs, options.recipe)

    import torch

    from benchmarks.plain import Terms, check_comparable
    from src.training.job import StartingPoint, TrainingJob

    starting_point = StartingPoint.load(options.faces, options.source)
    with tempfile.TemporaryDirectory() as folder:
        job = TrainingJob.of(options.experiment, params, starting_point, Path(folder))
        terms = Terms(getattr(torch, options.plain_dtype), options.plain_cached)
        check_comparable(job, terms)
        result = compare_with_plain(job, options.repeats, options.plain_epochs, terms)
    print(json.dumps(asdict(result)) if options.json else result)


def compare_with_plain(
    job: TrainingJob, repeats: int, plain_epochs: int | None, terms: Terms
) -> SpeedComparison:
    """Train both ways in turn, `repeats` times, the engine always from a cold cache."""
    from benchmarks.engine import warm_up
    from benchmarks.plain import train_plain, write_folders
    from src.data.faceset import Split
    from src.training.cost import epoch_flops

    startup = time.time() - psutil.Process().create_time()
    faces, epochs = job.starting_point.faces, job.experiment.epochs
    run = min(plain_epochs or epochs, epochs)
    images_folder = job.scratch / "faces"
    write_folders(faces, images_folder)
    seconds: list[float] = []
    plain_seconds, accuracies, plain_accuracies, rates, peaks = [], [], [], [], []
    warm_up(job.compute)
    for repeat in range(repeats):
        seeded = job_of_repeat(job, repeat)
        (engine, rate, peak), plain = both(
            partial(time_engine, seeded),
            partial(train_plain, seeded, images_folder, run, terms),
            repeat,
        )
        rates.append(rate)
        peaks.append(peak)
        startup += 0 if seconds else engine.once_seconds
        seconds.append(engine.seconds / epochs)
        accuracies.append(engine.accuracy(faces))
        plain_seconds.append(plain.seconds(epochs) / epochs)
        plain_accuracies += [] if plain.accuracy is None else [plain.accuracy]
        known = "not known" if plain.accuracy is None else f"{plain.accuracy:.1%}"
        print(
            f"seed {seeded.seed}: {seconds[-1]:.3f} s/epoch, {accuracies[-1]:.1%}; "
            f"plain {plain_seconds[-1]:.3f} s/epoch, {known}",
            file=sys.stderr,
        )
    ratios = sorted(b / a for a, b in zip(seconds, plain_seconds, strict=True))
    median, rate = statistics.median(seconds), statistics.median(rates)
    return SpeedComparison(
        experiment=job.name,
        recipe=job.experiment.recipe or job.params.recipe,
        device=job.compute.name,
        precision=dtype_name(job.compute.dtype),
        plain_dtype=dtype_name(terms.dtype),
        plain_cached=terms.cached,
        epochs=epochs,
        seconds_per_epoch=median,
        plain_seconds_per_epoch=statistics.median(plain_seconds),
        ratio=statistics.median(ratios),
        ratio_low=ratios[0],
        ratio_high=ratios[-1],
        images_per_second=len(faces.rows(Split.train)) / median,
        accuracy=statistics.median(accuracies),
        plain_accuracy=statistics.median(plain_accuracies) if plain_accuracies else None,
        accuracies=tuple(accuracies),
        plain_accuracies=tuple(plain_accuracies),
        projected=run if run < epochs else None,
        peak_memory_mb=statistics.median(peaks),
        floor_seconds_per_epoch=epoch_flops(job) / rate,
        matrix_gflops=rate / 1e9,
        startup_seconds=startup,
    )


def time_engine(job: TrainingJob) -> tuple[EngineRun, float, float]:
    """A training by the engine, the rate of a matrix product, and the training's peak memory."""
    from benchmarks.engine import run_engine
    from benchmarks.memory import peak_memory, reset_peak
    from src.training.cost import matrix_rate

    reset_peak(job.compute)
    run = run_engine(job)
    peak = peak_memory(job.compute)
    # Right after it: a processor that starts fast slows down within seconds of such work.
    return run, matrix_rate(job.compute), peak


def job_of_repeat(job: TrainingJob, repeat: int) -> TrainingJob:
    """The same with a seed and a cold cache of its own."""
    seed = job.seed + repeat
    params = job.params.model_copy(update={"seed": seed})
    return replace(job, params=params, seed=seed, scratch=job.scratch / str(repeat))


if __name__ == "__main__":
    cli.run(main)
