"""`python -m benchmarks.table`: how long all experiments of params.yaml take, in one process."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.options import add_inputs, count, dtype_name, shortened, with_changes
from src import cli
from src.config import Params, load_params
from src.errors import ConfigError

if TYPE_CHECKING:
    from benchmarks.plain import Terms
    from src.training.job import StartingPoint, TrainingJob

PLAIN_EPOCHS = 2
EXAMPLES = """\
  python -m benchmarks.table
  python -m benchmarks.table --warm-up --json
  python -m benchmarks.table --experiment Baseline ModelA --no-plain"""


@dataclass(frozen=True)
class ExperimentTiming:
    """One experiment; `plain_seconds` are projected from the plain loop's first two epochs.

    plain_seconds: None where that loop was left out or cannot train the experiment. cached: whether
    an earlier row computed this one's features, so that `seconds` lack a part of what a training
    takes: in the sum they are right, but there is no ratio. flops: the least that all epochs need,
    None if cached. peak_memory_mb: the engine's, as benchmarks.memory says.
    """

    experiment: str
    epochs: int
    seconds: float
    plain_seconds: float | None
    accuracy: float
    flops: float | None
    peak_memory_mb: float
    cached: bool

    @property
    def ratio(self) -> float | None:
        """The plain loop's projected seconds over the engine's."""
        if self.plain_seconds is None or self.cached:
            return None
        return self.plain_seconds / self.seconds

    def __str__(self) -> str:
        ratio = "cached" if self.cached else _times(self.ratio)
        return _line(
            self.experiment, self.epochs, self.seconds, self.plain_seconds, ratio, self.accuracy
        )


@dataclass(frozen=True)
class TableTiming:
    """All experiments; `ratio` is the plain loop's projected seconds over the engine's."""

    device: str
    precision: str
    rows: tuple[ExperimentTiming, ...]
    epochs: int
    seconds: float
    plain_seconds: float | None
    ratio: float | None

    @classmethod
    def of(cls, device: str, precision: str, rows: Sequence[ExperimentTiming]) -> TableTiming:
        """Add up the rows."""
        seconds, epochs = sum(row.seconds for row in rows), sum(row.epochs for row in rows)
        known = [row.plain_seconds for row in rows if row.plain_seconds is not None]
        plain = sum(known) if len(known) == len(rows) else None
        return cls(
            device=device,
            precision=precision,
            rows=tuple(rows),
            epochs=epochs,
            seconds=seconds,
            plain_seconds=plain,
            ratio=None if plain is None else plain / seconds,
        )

    def __str__(self) -> str:
        return (
            _line("all", self.epochs, self.seconds, self.plain_seconds, _times(self.ratio), None)
            + f"\non {self.device}, {self.precision}"
        )


HEADER = f"{'experiment':<28}{'epochs':>8}{'s':>10}{'plain s':>12}{'ratio':>9}{'test':>9}"


def _times(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.1f}x"


def _line(
    name: str, epochs: int, seconds: float, plain: float | None, ratio: str, accuracy: float | None
) -> str:
    return (
        f"{name:<28}{epochs:>8,}{seconds:>10.1f}{'' if plain is None else f'{plain:,.0f}':>12}"
        f"{ratio:>9}{'' if accuracy is None else f'{accuracy:.1%}':>9}"
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Train every experiment in this process, one after the other, and time each.

    Frozen features are computed once and shared, as in the pipeline; tracking and the start of a
    process for every stage are left out. Rows whose features an earlier one computed say "cached"
    instead of a ratio. The plain loop's seconds are projected from two epochs of each experiment.
    """
    parser = cli.parser("benchmarks.table", str(main.__doc__), EXAMPLES)
    parser.add_argument(
        "--experiment", nargs="+", help="names under `experiments` in params.yaml, instead of all"
    )
    parser.add_argument("--epochs", type=count, help="instead of each experiment's own")
    parser.add_argument("--no-plain", action="store_true", help="leave out the plain loop")
    parser.add_argument(
        "--warm-up", action="store_true", help="first run one untimed epoch of each"
    )
    add_inputs(parser)
    options = parser.parse_args(argv)
    params = load_params()
    names = options.experiment or list(params.experiments)
    for name in names:
        params = with_changes(params, name, options.epochs)

    from benchmarks.engine import warm_up
    from src.training.device import resolve
    from src.training.job import StartingPoint

    starting_point = StartingPoint.load(options.faces, options.source)
    compute = resolve(params.engine.device, params.engine.precision)
    warm_up(compute)
    if options.warm_up:
        for _ in time_experiments(names, params, starting_point, limit=1, plain=False):
            pass
    if not options.json:
        print(HEADER)
    rows = []
    for row in time_experiments(names, params, starting_point, plain=not options.no_plain):
        rows.append(row)
        if not options.json:
            print(row, flush=True)
    total = TableTiming.of(compute.name, dtype_name(compute.dtype), rows)
    print(json.dumps(asdict(total)) if options.json else total)


def time_experiments(
    names: Sequence[str],
    params: Params,
    starting_point: StartingPoint,
    *,
    limit: int | None = None,
    plain: bool,
) -> Iterator[ExperimentTiming]:
    """Train the experiments in turn, for `limit` epochs each at most or for their own.

    They share a cache, which is cold at first.
    """
    from benchmarks.plain import write_folders
    from src.training.job import TrainingJob

    with tempfile.TemporaryDirectory() as folder:
        images_folder, scratch = Path(folder) / "faces", Path(folder) / "scratch"
        scratch.mkdir()
        if plain:
            write_folders(starting_point.faces, images_folder)
        for name in names:
            changed = shortened(params, name, limit) if limit else params
            job = TrainingJob.of(name, changed, starting_point, scratch)
            row = time_engine(job)
            if plain and plain_supports(job):
                row = replace(row, plain_seconds=plain_seconds(job, images_folder))
            yield row


def time_engine(job: TrainingJob) -> ExperimentTiming:
    """Train by the engine, with what its scratch folder holds."""
    from benchmarks.engine import run_engine
    from benchmarks.memory import peak_memory, reset_peak
    from src.training.cost import epoch_flops

    before = _written(job.scratch)
    reset_peak(job.compute)
    run, epochs = run_engine(job), job.experiment.epochs
    peak = peak_memory(job.compute)
    # Of experiments only heads read what others have left there.
    head = set(job.experiment.train) == {"head"}
    cached = head and bool(before) and _written(job.scratch) == before
    return ExperimentTiming(
        experiment=job.name,
        epochs=epochs,
        seconds=run.seconds,
        plain_seconds=None,
        accuracy=run.accuracy(job.starting_point.faces, job.compute.device),
        flops=None if cached else epoch_flops(job) * epochs,
        peak_memory_mb=peak,
        cached=cached,
    )


def _written(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.iterdir()}


def plain_supports(job: TrainingJob) -> bool:
    """Whether the plain loop can train the experiment; says why not."""
    from benchmarks.plain import check_comparable

    try:
        check_comparable(job)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return False
    return True


def plain_seconds(
    job: TrainingJob, images: Path, terms: Terms | None = None, epochs: int = PLAIN_EPOCHS
) -> float:
    """Seconds of a whole training by the plain loop, projected from its first `epochs`."""
    from benchmarks.plain import TUTORIAL, train_plain

    whole = job.experiment.epochs
    timed = train_plain(job, images, min(epochs, whole), terms or TUTORIAL, finish=False)
    return timed.seconds(whole)


if __name__ == "__main__":
    cli.run(main)
