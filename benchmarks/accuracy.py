"""`python -m benchmarks.accuracy`: whether this engine is as accurate, over many seeds."""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.options import add_inputs, count, two_or_more, with_changes
from src import cli
from src.config import Params, load_params
from src.errors import ConfigError

if TYPE_CHECKING:
    from src.training.job import StartingPoint

EXAMPLES = """\
  python -m benchmarks.accuracy --experiment Baseline ModelD-256-128
  python -m benchmarks.accuracy --experiment ModelA --seeds 5 --epochs 15 --json"""


MARGIN = 1.0  # points that the engine may lose; stated before anything was measured against it


@dataclass(frozen=True)
class Agreement:
    """Test accuracies of one experiment by both ways, a pair for every seed.

    low, high: the 95% interval over seeds of the engine's less the plain loop's, in points.
    within: whether all of it lies above -`margin`, so that no more than that is lost.
    """

    experiment: str
    epochs: int
    accuracies: tuple[float, ...]
    plain_accuracies: tuple[float, ...]
    low: float
    high: float
    margin: float
    within: bool

    @classmethod
    def of(
        cls,
        experiment: str,
        epochs: int,
        accuracies: Sequence[float],
        plain_accuracies: Sequence[float],
        margin: float,
    ) -> Agreement:
        """With Student's interval of the paired differences, by which non-inferiority is judged."""
        from scipy.stats import t

        pairs = zip(accuracies, plain_accuracies, strict=True)
        differences = [100 * (engine - plain) for engine, plain in pairs]
        mean, seeds = statistics.mean(differences), len(differences)
        half = t.ppf(0.975, seeds - 1) * statistics.stdev(differences) / seeds**0.5
        low, high = float(mean - half), float(mean + half)
        return cls(
            experiment,
            epochs,
            tuple(accuracies),
            tuple(plain_accuracies),
            low,
            high,
            margin,
            within=low >= -margin,
        )

    def __str__(self) -> str:
        engine, plain = (
            f"{statistics.mean(values):.1%} ± {statistics.stdev(values):.1%}"
            for values in (self.accuracies, self.plain_accuracies)
        )
        difference = points(self.accuracies, self.plain_accuracies)
        interval = f"{self.low:+.2f} to {self.high:+.2f}"
        verdict = "no worse" if self.within else "not shown"
        return (
            f"{self.experiment:<26}{len(self.accuracies):>6}{engine:>16}{plain:>16}"
            f"{difference:>16}{interval:>18}{verdict:>11}"
        )


HEADER = (
    f"{'experiment':<26}{'seeds':>6}{'engine':>16}{'plain':>16}{'difference':>16}"
    f"{'95% interval':>18}{'verdict':>11}"
)


def points(engine: Sequence[float], plain: Sequence[float]) -> str:
    """Engine less plain in points: the mean over seeds and, of several, its standard error."""
    differences = [100 * (a - b) for a, b in zip(engine, plain, strict=True)]
    mean = f"{statistics.mean(differences):+.2f}"
    if len(differences) == 1:
        return mean
    return f"{mean} ± {statistics.stdev(differences) / len(differences) ** 0.5:.2f}"


def main(argv: Sequence[str] | None = None) -> None:
    """Train by this engine and by the plain loop from many seeds, and compare accuracies.

    The plain loop runs over the outputs of the network's frozen prefix, kept in float32: the same
    training in less time, which is not measured here. Accuracy is on the test split and is shown
    with its deviation over seeds; the difference, in points, with its standard error and the 95%
    interval, and as no worse only where the whole interval lies above the margin.
    """
    parser = cli.parser("benchmarks.accuracy", str(main.__doc__), EXAMPLES)
    parser.add_argument("--experiment", nargs="+", required=True, help="names in params.yaml")
    parser.add_argument("--seeds", type=two_or_more, default=10, help="from the seed there on")
    parser.add_argument("--epochs", type=count, help="instead of each one's own")
    parser.add_argument("--margin", type=float, default=MARGIN, help="points (%(default)s)")
    add_inputs(parser)
    options = parser.parse_args(argv)
    params = load_params()

    from src.training.job import StartingPoint

    starting_point = StartingPoint.load(options.faces, options.source)
    for name in options.experiment:
        params = with_changes(params, name, options.epochs)
    if not options.json:
        print(HEADER)
    for name in options.experiment:
        pairs = compare(name, params, options.seeds, starting_point)
        epochs = params.experiments[name].epochs
        result = Agreement.of(name, epochs, *pairs, options.margin)
        print(json.dumps(asdict(result)) if options.json else result, flush=True)


def compare(
    name: str, params: Params, seeds: int, starting_point: StartingPoint
) -> tuple[list[float], list[float]]:
    """The engine's and the plain loop's accuracies of one experiment, seed by seed.

    Raises ConfigError where none of it is frozen.
    """
    from benchmarks.engine import run_engine
    from benchmarks.plain import (
        PlainLoop,
        finish_plainly,
        frozen_outputs,
        refuse_what_is_not_plain,
        write_folders,
    )
    from src.data.faceset import Split
    from src.training.job import TrainingJob

    accuracies, plain_accuracies = [], []
    with tempfile.TemporaryDirectory() as folder:
        job = TrainingJob.of(name, params, starting_point, Path(folder))
        refuse_what_is_not_plain(job)
        if not PlainLoop(job).frozen:
            raise ConfigError(
                f"params.yaml: experiments.{name}",
                "nothing of it is frozen, so the plain loop has no shortcut",
                f"run `python -m benchmarks.speed --experiment {name} --repeats {seeds}`",
            )
        pictures = Path(folder) / "faces"
        write_folders(starting_point.faces, pictures)
        kept = frozen_outputs(job, pictures, *Split)
        for seed in range(params.seed, params.seed + seeds):
            own = params.model_copy(update={"seed": seed})
            job = TrainingJob.of(name, own, starting_point, Path(folder))
            accuracies.append(run_engine(job).accuracy(starting_point.faces))
            plain_accuracies.append(finish_plainly(job, kept))
    return accuracies, plain_accuracies


if __name__ == "__main__":
    cli.run(main)
