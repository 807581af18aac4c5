"""`python -m benchmarks.table`: how long all experiments of params.yaml take, in one process."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.options import add_inputs, count, with_changes
from src import cli
from src.config import Params, load_params

if TYPE_CHECKING:
    from src.training.job import StartingPoint

PLAIN_EPOCHS = 2
EXAMPLES = """\
  python -m benchmarks.table
  python -m benchmarks.table --warm-up --json
  python -m benchmarks.table --experiment Baseline ModelA --no-plain"""


@dataclass(frozen=True)
class ExperimentTiming:
    """One experiment; `plain_seconds` are projected from the plain loop's first two epochs.

    flops: the least that all epochs need. peak_memory_mb: the engine's, as benchmarks.memory says.
    """

    experiment: str
    epochs: int
    seconds: float
    plain_seconds: float | None
    accuracy: float
    flops: float
    peak_memory_mb: float

    def __str__(self) -> str:
        return _line(self.experiment, self.epochs, self.seconds, self.plain_seconds, self.accuracy)


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
            _line("all", self.epochs, self.seconds, self.plain_seconds, None)
            + f"\non {self.device}, {self.precision}"
        )


HEADER = f"{'experiment':<28}{'epochs':>8}{'s':>10}{'plain s':>12}{'ratio':>9}{'test':>9}"


def _line(
    name: str, epochs: int, seconds: float, plain: float | None, accuracy: float | None
) -> str:
    ratio = "" if plain is None else f"{plain / seconds:.1f}x"
    return (
        f"{name:<28}{epochs:>8,}{seconds:>10.1f}{'' if plain is None else f'{plain:,.0f}':>12}"
        f"{ratio:>9}{'' if accuracy is None else f'{accuracy:.1%}':>9}"
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Train every experiment in this process, one after the other, and time each.

    Frozen features are computed once and shared, as in the pipeline; tracking and the start of a
    process for every stage are left out. The plain loop's seconds are projected from two epochs
    of each experiment.
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

    from src.training.device import resolve
    from src.training.job import StartingPoint

    starting_point = StartingPoint.load(options.faces, options.source)
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
    compute = resolve(params.engine.device, params.engine.precision)
    total = TableTiming.of(compute.name, str(compute.dtype).removeprefix("torch."), rows)
    print(json.dumps(asdict(total)) if options.json else total)


def time_experiments(
    names: Sequence[str],
    params: Params,
    starting_point: StartingPoint,
    *,
    limit: int | None = None,
    plain: bool,
) -> Iterator[ExperimentTiming]:
    """Train the experiments in turn, for `limit` epochs each or for their own.

    They share a cache, which is cold at first.
    """
    from benchmarks.engine import run_engine
    from benchmarks.memory import peak_memory, reset_peak
    from benchmarks.plain import train_plain, write_folders
    from src.training.cost import epoch_flops
    from src.training.job import TrainingJob

    with tempfile.TemporaryDirectory() as folder:
        images_folder = Path(folder) / "faces"
        if plain:
            write_folders(starting_point.faces, images_folder)
        for name in names:
            changed = with_changes(params, name, limit)
            job = TrainingJob.of(name, changed, starting_point, Path(folder))
            reset_peak(job.compute)
            run, epochs, projected = run_engine(job), job.experiment.epochs, None
            peak = peak_memory(job.compute)
            if plain:
                timed = train_plain(job, images_folder, PLAIN_EPOCHS, finish=False)
                projected = timed.seconds(epochs)
            yield ExperimentTiming(
                experiment=name,
                epochs=epochs,
                seconds=run.seconds,
                plain_seconds=projected,
                accuracy=run.accuracy(starting_point.faces, job.compute.device),
                flops=epoch_flops(job) * epochs,
                peak_memory_mb=peak,
            )


if __name__ == "__main__":
    cli.run(main)
