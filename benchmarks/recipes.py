"""`python -m benchmarks.recipes`: does a preset reach another's accuracy, and how much sooner?"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.accuracy import MARGIN, NonInferiorityTest, points
from benchmarks.options import add_inputs, count, dtype_name, two_or_more
from benchmarks.turns import both as both_in_turn
from src import cli
from src.config import PARAMS, Params, read_yaml, validate
from src.config.presets import changed, read_preset

if TYPE_CHECKING:
    from src.training.job import StartingPoint, TrainingJob

EXAMPLES = """\
  python -m benchmarks.recipes small-fast small-tuned --experiment ModelA
  python -m benchmarks.recipes small-fast small-tuned --experiment ModelA --plain-epochs 2
  python -m benchmarks.recipes small-fast small-tuned --experiment ModelC --seeds 3 --json"""


@dataclass(frozen=True)
class Training:
    """One training by the engine: seconds on the clock, and the accuracies of what it kept.

    validation: for each epoch, the seconds until its end and its accuracy on validation images,
    whether or not it was kept. val_accuracy: of the epoch that was.
    """

    seconds: float
    validation: tuple[tuple[float, float], ...]
    val_accuracy: float
    test_accuracy: float

    @property
    def last_val_accuracy(self) -> float:
        """On validation images, after the last epoch."""
        return self.validation[-1][1]


@dataclass(frozen=True)
class RecipeComparison:
    """One experiment by two presets, seed by seed in turn, and by the plain loop.

    plain_seconds: of the plain loop by `against`, projected from its first epochs, once for each
    seed that it was timed with; empty where it was not. goal: mean validation accuracy of
    `against` after its last epoch, which nothing selected. goal_seconds: when the mean over seeds
    by `preset` first reached it, None if never. test: of the accuracies on the test
    split, which chose nothing.
    """

    experiment: str
    preset: str
    against: str
    precision: str
    epochs: tuple[int, int]
    trainings: tuple[Training, ...]
    others: tuple[Training, ...]
    plain_seconds: tuple[float, ...]
    goal: float
    goal_seconds: float | None
    test: NonInferiorityTest

    def __str__(self) -> str:
        seconds, others = (_seconds(each) for each in (self.trainings, self.others))
        validation = [each.last_val_accuracy for each in self.trainings]
        test, other_test = self.test.accuracies, self.test.reference_accuracies
        lines = [
            f"{self.experiment} in {self.precision}, {len(seconds)} seeds",
            f"  {self.preset}: {_range(seconds)} s for {self.epochs[0]} epochs",
            f"  {self.against}: {_range(others)} s for {self.epochs[1]}, "
            f"{_ratios(others, seconds)}",
        ]
        if self.plain_seconds:
            plain = f"{_range(self.plain_seconds)} s for {self.epochs[1]}, projected"
            ratios = " and ".join(_ratios(self.plain_seconds, each) for each in (seconds, others))
            lines.append(f"  plain loop by {self.against}: {plain}, {ratios}")
        reached = f"within {self.goal_seconds:.1f} s" if self.goal_seconds else "not at all"
        return "\n".join(
            [
                *lines,
                f"  validation after the last epoch: {statistics.mean(validation):.1%} and "
                f"{self.goal:.1%}, which {self.preset} reaches {reached}",
                f"  test: {statistics.mean(test):.1%} and {statistics.mean(other_test):.1%}, "
                f"difference {points(test, other_test)} points, 95% interval "
                f"{self.test.low:+.2f} to {self.test.high:+.2f}: "
                f"{'no worse' if self.test.within else 'not shown to be no worse'}",
            ]
        )


def main(argv: Sequence[str] | None = None) -> None:
    """Train by two presets from many seeds, in turn, and compare seconds and accuracies.

    The presets change params.yaml as they do for `dvc exp run`; both train on the packed faces that
    are here. "No worse" is said only where the whole 95% interval of the difference between test
    accuracies lies above minus the margin.
    """
    parser = cli.parser("benchmarks.recipes", str(main.__doc__), EXAMPLES)
    add = parser.add_argument
    add("preset", help="the preset that should be as accurate in less time")
    add("against", help="the preset that it is compared with")
    add("--experiment", nargs="+", required=True, help="names that both presets have")
    add("--seeds", type=two_or_more, default=6, help="trainings by each preset (%(default)s)")
    add("--margin", type=float, default=MARGIN, help="points that may be lost (%(default)s)")
    add("--plain-epochs", type=two_or_more, help="also time so many epochs of the plain loop")
    add("--plain-repeats", type=count, default=1, help="seeds to do that with (%(default)s)")
    add_inputs(parser)
    options = parser.parse_args(argv)
    both = [with_preset(name) for name in (options.preset, options.against)]
    for params in both:
        for name in options.experiment:
            params.experiment(name)

    from src.training.job import StartingPoint

    starting_point = StartingPoint.load(options.faces, options.source)
    for name in options.experiment:
        found = compare(name, options, both, starting_point)
        print(json.dumps(asdict(found)) if options.json else found, flush=True)


def compare(
    name: str, options: Namespace, both: Sequence[Params], starting_point: StartingPoint
) -> RecipeComparison:
    """Train one experiment by the parameters of both presets, seed by seed in turn."""
    from benchmarks.engine import warm_up
    from benchmarks.plain import check_comparable, write_folders
    from benchmarks.table import plain_seconds
    from src.training.job import TrainingJob

    trainings, others, plain = [], [], []
    for seed in range(options.seeds):
        with tempfile.TemporaryDirectory() as folder:
            job, other = (
                TrainingJob.of(
                    name,
                    params,
                    starting_point,
                    Path(folder) / str(number),
                    seed=params.seed + seed,
                )
                for number, params in enumerate(both)
            )
            if options.plain_epochs:
                check_comparable(other)
            if seed == 0:
                warm_up(job.compute)
            one, another = both_in_turn(partial(train, job), partial(train, other), seed)
            trainings.append(one)
            others.append(another)
            if options.plain_epochs and seed < options.plain_repeats:
                images = other.scratch / "faces"
                write_folders(starting_point.faces, images)
                plain.append(plain_seconds(other, images, epochs=options.plain_epochs))
        told = f"{_told(trainings[-1])}; {options.against} {_told(others[-1])}"
        print(f"{name}, seed {job.seed}: {told}", file=sys.stderr)
    goal = statistics.mean(each.last_val_accuracy for each in others)
    return RecipeComparison(
        experiment=name,
        preset=options.preset,
        against=options.against,
        precision=dtype_name(job.compute.dtype),
        epochs=(job.experiment.epochs, other.experiment.epochs),
        trainings=tuple(trainings),
        others=tuple(others),
        plain_seconds=tuple(plain),
        goal=goal,
        goal_seconds=reached(trainings, goal),
        test=NonInferiorityTest.of(
            experiment=name,
            epochs=job.experiment.epochs,
            accuracies=[each.test_accuracy for each in trainings],
            reference_accuracies=[each.test_accuracy for each in others],
            margin=options.margin,
        ),
    )


def with_preset(name: str) -> Params:
    """params.yaml with a preset applied; raises ConfigError."""
    return validate(Params, changed(read_yaml(PARAMS), read_preset(name)), f"preset {name}")


def train(job: TrainingJob) -> Training:
    """Train by the engine."""
    from benchmarks.engine import run_engine

    job.scratch.mkdir()
    run = run_engine(job)
    history = run.fitted.history
    _, *times = accumulate((epoch.seconds for epoch in history), initial=run.once_seconds)
    accuracies = (epoch.val_accuracy for epoch in history)
    return Training(
        run.seconds,
        tuple(zip(times, accuracies, strict=True)),
        run.fitted.chosen.val_accuracy,
        run.accuracy(job.starting_point.faces),
    )


def reached(trainings: Sequence[Training], goal: float) -> float | None:
    """Mean seconds until the epoch after which the mean validation accuracy is at least `goal`."""
    for number in range(min(len(each.validation) for each in trainings)):  # fewer by `patience`
        pairs = [each.validation[number] for each in trainings]
        if statistics.mean(accuracy for _, accuracy in pairs) >= goal:
            return statistics.mean(seconds for seconds, _ in pairs)
    return None


def _told(training: Training) -> str:
    return (
        f"{training.seconds:.1f} s, {training.val_accuracy:.1%} on validation, "
        f"{training.test_accuracy:.1%} on test"
    )


def _seconds(trainings: Sequence[Training]) -> list[float]:
    return [each.seconds for each in trainings]


def _range(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.1f} ({min(values):.1f} to {max(values):.1f})"


def _ratios(values: Sequence[float], less: Sequence[float]) -> str:
    """Of the seeds that both have."""
    ratios = [a / b for a, b in zip(values, less, strict=False)]
    return f"{statistics.median(ratios):.1f}x ({min(ratios):.1f} to {max(ratios):.1f})"


if __name__ == "__main__":
    cli.run(main)
