"""`python -m benchmarks.table`: all experiments of params.yaml in one process, and how long."""

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
class Row:
    """One experiment. plain_seconds: the plain loop's, projected from its first two epochs."""

    experiment: str
    epochs: int
    seconds: float
    plain_seconds: float | None
    accuracy: float

    def __str__(self) -> str:
        return _line(self.experiment, self.epochs, self.seconds, self.plain_seconds, self.accuracy)


@dataclass(frozen=True)
class Total:
    """All rows. ratio: the plain loop's projected seconds over the engine's."""

    device: str
    precision: str
    rows: tuple[Row, ...]
    epochs: int
    seconds: float
    plain_seconds: float | None
    ratio: float | None

    @classmethod
    def of(cls, device: str, precision: str, rows: Sequence[Row]) -> Total:
        """The sums."""
        seconds, epochs = sum(row.seconds for row in rows), sum(row.epochs for row in rows)
        known = [row.plain_seconds for row in rows if row.plain_seconds is not None]
        plain = sum(known) if len(known) == len(rows) else None
        ratio = None if plain is None else plain / seconds
        return cls(device, precision, tuple(rows), epochs, seconds, plain, ratio)

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
    """Train every experiment in this process, one after the other, as the stages would.

    Frozen features are made once and shared, as the pipeline shares them; tracking and the start
    of a process for every stage are left out. The plain loop's seconds are projected from two
    epochs of each.
    """
    parser = cli.parser("benchmarks.table", str(main.__doc__), EXAMPLES)
    parser.add_argument("--experiment", nargs="+", help="some of them, instead of all")
    parser.add_argument("--epochs", type=count, help="instead of each one's own")
    parser.add_argument("--no-plain", action="store_true", help="leave the plain loop out")
    parser.add_argument("--warm-up", action="store_true", help="one untimed epoch of each, first")
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
        for _ in measure(names, params, starting_point, epochs=1, plain=False):
            pass
    if not options.json:
        print(HEADER)
    rows = []
    for row in measure(names, params, starting_point, plain=not options.no_plain):
        rows.append(row)
        if not options.json:
            print(row, flush=True)
    compute = resolve(params.engine.device, params.engine.precision)
    total = Total.of(compute.name, str(compute.dtype).removeprefix("torch."), rows)
    print(json.dumps(asdict(total)) if options.json else total)


def measure(
    names: Sequence[str],
    params: Params,
    starting_point: StartingPoint,
    *,
    epochs: int | None = None,
    plain: bool,
) -> Iterator[Row]:
    """Train the experiments in turn, from a cold cache that they share."""
    from benchmarks.engine import run_engine
    from benchmarks.plain import train_plainly, write_folders
    from src.training.job import TrainingJob

    with tempfile.TemporaryDirectory() as folder:
        pictures = Path(folder) / "faces"
        if plain:
            write_folders(starting_point.faces, pictures)
        for name in names:
            job = TrainingJob.of(
                name, with_changes(params, name, epochs), starting_point, Path(folder)
            )
            run, epochs_in_all = run_engine(job), job.experiment.epochs
            accuracy, projected = run.accuracy(starting_point.faces), None
            if plain:
                slow = train_plainly(job, pictures, PLAIN_EPOCHS, finish=False)
                projected = slow.seconds(epochs_in_all)
            yield Row(name, epochs_in_all, run.seconds, projected, accuracy)


if __name__ == "__main__":
    cli.run(main)
