"""Tests of whether two experiments' test accuracies differ by more than chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ALPHA = 0.05  # level of significance


@dataclass(frozen=True)
class PairedTest:
    """Two classifiers on the same images.

    `difference` is the first's accuracy less the second's, within [-1, 1]; `only_first` and
    `only_second` count the images that only one of them got right; `p` is two-sided.
    """

    difference: float
    only_first: int
    only_second: int
    p: float


@dataclass(frozen=True)
class AdjustedTest:
    """A paired test whose `p` is adjusted for all the tests of its family."""

    paired: PairedTest
    p: float

    @property
    def beyond_chance(self) -> bool:
        """Whether the difference is larger than chance on these test images can explain."""
        return self.p < ALPHA


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
