"""`python -m benchmarks.significance`: how often the report's tests and intervals err.

docs/statistics.md shows what it found, and why these tests were chosen.
"""

from __future__ import annotations

import json
from argparse import ArgumentTypeError
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from itertools import product
from math import hypot
from typing import TYPE_CHECKING, TypeVar

from benchmarks.options import count, two_or_more
from src import cli
from src.evaluation.metrics import interval
from src.evaluation.significance import crossed, mcnemar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

T = TypeVar("T")

EXAMPLES = """\
  python -m benchmarks.significance
  python -m benchmarks.significance --images 300 --seeds 5,5 3,3 --repeats 500 --json"""
DIFFICULTY = 1.5  # standard deviation of the images' difficulty, on the logit scale
OWN = 0.5  # the same of what an image has of its own for one experiment
EASE = 0.5  # logit of the middle image: about 60% are right
LIFT = 8.0  # points by which one experiment is better where the power is measured


@dataclass(frozen=True)
class Design:
    """How many images and seeds two experiments have; deviations of their seeds, in points."""

    images: int
    seeds: tuple[int, int]
    deviations: tuple[float, float]


@dataclass(frozen=True)
class Rates:
    """Shares of simulated comparisons: of equal experiments, and (`power`) of unequal ones.

    errors, rare_errors: p below 0.05 and 0.001. mcnemar_errors: of the first seeds' exact
    McNemar test, below 0.05. coverage: intervals that hold the first's true accuracy.
    """

    design: Design
    errors: float
    rare_errors: float
    mcnemar_errors: float
    power: float
    coverage: float

    def __str__(self) -> str:
        design = self.design
        return (
            f"| {design.images} | {design.seeds[0]}, {design.seeds[1]} "
            f"| {design.deviations[0]:g}, {design.deviations[1]:g} "
            f"| {100 * self.errors:.1f} | {100 * self.rare_errors:.2f} "
            f"| {100 * self.mcnemar_errors:.1f} | {100 * self.power:.0f} "
            f"| {100 * self.coverage:.1f} |"
        )


HEADER = """\
| images | seeds | seeds' sd | p < 0.05, % | p < 0.001, % | McNemar, % | power, % | coverage, % |
| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"""


def main(argv: Sequence[str] | None = None) -> None:
    """Simulate pairs of experiments and test each pair as the report does.

    An answer is right with a probability whose logit adds the image's difficulty, which both
    experiments share, what the image has of its own for an experiment, and the seed's effect.
    """
    parser = cli.parser("benchmarks.significance", str(main.__doc__), EXAMPLES)
    add = parser.add_argument
    add("--images", nargs="+", type=two_or_more, default=[100, 300, 600], help="(100 300 600)")
    add(
        "--seeds", nargs="+", type=_pair_of(two_or_more),
        default=[(5, 5), (5, 3), (3, 3), (5, 2), (2, 2)],
        help="seeds of both experiments, 2 or more (5,5 5,3 3,3 5,2 2,2)",
    )  # fmt: skip
    add(
        "--deviations", nargs="+", type=_pair_of(_points), default=[(0, 0), (1, 1), (3, 3), (0, 3)],
        help="standard deviations of their seeds' accuracies, in points (0,0 1,1 3,3 0,3)",
    )  # fmt: skip
    add("--repeats", type=count, default=4000, help="simulated pairs of each (%(default)s)")
    add("--json", action="store_true", help="print JSON")
    options = parser.parse_args(argv)
    if not options.json:
        print(HEADER)
    for design in product(options.images, options.seeds, options.deviations):
        found = simulate(Design(*design), options.repeats)
        print(json.dumps(asdict(found)) if options.json else found, flush=True)


def _pair_of(each: Callable[[str], T]) -> Callable[[str], tuple[T, T]]:
    def pair(text: str) -> tuple[T, T]:
        parts = text.split(",")
        if len(parts) != 2:
            raise ArgumentTypeError(f"{text!r} is not two numbers like 5,3")
        return each(parts[0]), each(parts[1])

    return pair


def _points(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 20:
        raise ArgumentTypeError(f"{text!r} is not a number from 0 to 20")
    return value


def simulate(design: Design, repeats: int) -> Rates:
    """Test `repeats` pairs of equally good experiments, and as many of which one is better."""
    import numpy as np

    def below(values: list[float], level: float) -> float:
        return sum(value < level for value in values) / repeats

    draw = np.random.default_rng(0)
    true = accuracy(_spread(design.deviations[0]))
    p, alone, covered = [], [], []
    for first, second in pairs(draw, design, repeats):
        p.append(crossed(first, second).p)
        alone.append(mcnemar(first[0], second[0]).p)
        found = interval(first)
        covered.append(found.low <= true <= found.high)
    better = [crossed(*pair).p for pair in pairs(draw, design, repeats, LIFT)]
    return Rates(
        design=design,
        errors=below(p, 0.05),
        rare_errors=below(p, 0.001),
        mcnemar_errors=below(alone, 0.05),
        power=below(better, 0.05),
        coverage=sum(covered) / repeats,
    )


def pairs(
    draw: np.random.Generator, design: Design, repeats: int, lift: float = 0.0
) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """(S, N) and (T, N) answers of two experiments; the first is better by `lift` points."""
    from scipy.special import expit

    for _ in range(repeats):
        images = EASE + DIFFICULTY * draw.standard_normal(design.images)
        answers = []
        for seeds, deviation, points in zip(
            design.seeds, design.deviations, (lift, 0.0), strict=True
        ):
            logits = (
                images
                + points / 100 / slope()
                + OWN * draw.standard_normal(design.images)
                + deviation / 100 / slope() * draw.standard_normal((seeds, 1))
            )
            answers.append(draw.random(logits.shape) < expit(logits))
        yield answers[0], answers[1]


@cache
def slope() -> float:
    """By how much accuracy grows with the logit."""
    step = 0.01
    return (accuracy(_spread(0), EASE + step) - accuracy(_spread(0), EASE - step)) / (2 * step)


def accuracy(spread: float, ease: float = EASE) -> float:
    """The share of right answers where logits are normal around `ease`."""
    import numpy as np
    from scipy.special import expit

    points, weights = np.polynomial.hermite_e.hermegauss(60)
    return float((weights * expit(ease + spread * points)).sum() / weights.sum())


def _spread(deviation: float) -> float:
    """Standard deviation of the logits of an experiment whose seeds deviate by so many points."""
    return hypot(DIFFICULTY, OWN, deviation / 100 / slope() if deviation else 0.0)


if __name__ == "__main__":
    cli.run(main)
