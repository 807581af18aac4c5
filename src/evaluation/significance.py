"""Tests of whether two experiments' test accuracies differ by more than chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING

from src.evaluation.crossed import degrees_of_freedom, images_component, seeds_component, variance

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ALPHA = 0.05  # level of significance


@dataclass(frozen=True)
class PairedTest:
    """Two experiments on the same images.

    `difference` is the first's accuracy less the second's, within [-1, 1]; `only_first` and
    `only_second` count the images that one of them got right and the other did not, or got right
    with a larger share of its seeds; `p` is two-sided. seeds: of each side. Where there is one, the
    test is about that trained network, where there are several, about the way of training.
    """

    difference: float
    only_first: int
    only_second: int
    p: float
    seeds: tuple[int, int] = (1, 1)

    @property
    def over_seeds(self) -> bool:
        """Whether it allows for other seeds of a side at least."""
        return max(self.seeds) > 1


@dataclass(frozen=True)
class AdjustedTest:
    """A paired test whose `p` is adjusted for all the tests of its family."""

    paired: PairedTest
    p: float

    @property
    def beyond_chance(self) -> bool:
        """Whether the difference is larger than chance can explain."""
        return self.p < ALPHA


def paired_test(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> PairedTest:
    """Test (S, N) and (T, N) answers of two experiments: by which seeds was image i got right?

    With several seeds on either side the test is `crossed`, otherwise `mcnemar`.
    """
    if max(len(first), len(second)) > 1:
        return crossed(first, second)
    return mcnemar(first[0], second[0])


def mcnemar(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> PairedTest:
    """The exact McNemar test (McNemar, 1947) of two (N,) arrays: was image i predicted correctly?

    Under the null hypothesis an image that only one of the two gets right is as likely to be
    the first's as the second's, so their number is binomial with p = 1/2. The test compares
    two trained networks, not two ways of training.
    """
    from scipy.stats import binomtest

    only_first = int((first & ~second).sum())
    only_second = int((second & ~first).sum())
    discordant = only_first + only_second
    p = float(binomtest(only_first, discordant).pvalue) if discordant else 1.0
    return PairedTest((only_first - only_second) / len(first), only_first, only_second, p)


def crossed(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> PairedTest:
    """A t test of the difference of mean accuracies, of (S, N) and (T, N) answers.

    Images are paired, seeds are not: they are draws of their own on each side. So the variance
    has a part for the images, from the differences image by image, and one for the seeds of each
    side that has several. A side with one seed is taken as it is.
    """
    from scipy.special import stdtr

    by_image = first.mean(axis=0) - second.mean(axis=0)
    several = [side for side in (first, second) if len(side) > 1]
    parts = [images_component(by_image, ddof=1), *map(seeds_component, several)]
    difference, deviation = float(first.mean() - second.mean()), sqrt(variance(parts))
    if deviation:
        p = 2 * float(stdtr(degrees_of_freedom(parts), -abs(difference) / deviation))
    else:
        p = 1.0 if not difference else 0.0
    return PairedTest(
        difference=difference,
        only_first=int((by_image > 0).sum()),
        only_second=int((by_image < 0).sum()),
        p=p,
        seeds=(len(first), len(second)),
    )


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """p values adjusted for multiple comparisons (Holm, 1979), in their order.

    The probability that any adjusted value falls below 0.05 by chance is at most 5%.
    """
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, p_values[index] * (len(p_values) - rank)))
        adjusted[index] = largest
    return tuple(adjusted)


def adjust(tests: Sequence[PairedTest]) -> tuple[AdjustedTest, ...]:
    """The tests of one family, adjusted by Holm's method, in their order."""
    return tuple(map(AdjustedTest, tests, holm([test.p for test in tests])))
