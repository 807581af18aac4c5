"""Variance of a mean accuracy over seeds and images, in the model that crosses the two.

All networks answer the same images, and every seed of an experiment answers each of them, so an
accuracy varies with the images drawn, with the seeds drawn, and with the luck of one seed on one
image. That is the model of studies in which several readers read the same cases (Dorfman, Berbaum &
Metz 1992; Obuchowski & Rockette 1995; Gallas 2006). docs/statistics.md has the formulas, and how
often they err in simulations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SATTERTHWAITE = 3  # seeds from which its degrees of freedom hold their level


@dataclass(frozen=True)
class Component:
    """A part of a variance; `square` is the mean square behind it, of `freedom` degrees."""

    value: float
    square: float
    freedom: int


def images_component(values: NDArray[np.float64], *, ddof: int) -> Component:
    """The part of the variance of the mean of (N,) values that a draw of images gives it."""
    value = float(values.var(ddof=ddof)) / len(values)
    return Component(value, value, max(len(values) - 1, 1))


def seeds_component(correct: NDArray[np.bool_]) -> Component:
    """The part of the variance of the mean of (S > 1, N) answers that a draw of seeds gives it.

    It is what the variance between the seeds' accuracies exceeds the luck of single answers by,
    which the draw of images has already (the ANOVA estimate), but at least 0.
    """
    seeds, images = correct.shape
    by_seed = correct.mean(axis=1)
    residual = correct - by_seed[:, None] - correct.mean(axis=0) + correct.mean()
    square = float(by_seed.var(ddof=1)) / seeds
    luck = float((residual**2).sum()) / ((seeds - 1) * max(images - 1, 1)) / (images * seeds)
    return Component(max(square - luck, 0.0), square, seeds - 1)


def variance(parts: Sequence[Component]) -> float:
    """The sum of the parts."""
    return sum(part.value for part in parts)


def degrees_of_freedom(parts: Sequence[Component]) -> float:
    """Degrees of freedom of a sum of variances (Satterthwaite, 1946).

    With two seeds somewhere his formula errs too often. Then it is the harmonic mean of the parts'
    degrees of freedom, weighted by their size, which is smaller.
    """
    whole = variance(parts)
    if not whole:
        return float(parts[0].freedom)
    power = 2 if min(part.freedom for part in parts) >= SATTERTHWAITE - 1 else 1
    return float(whole**power / sum(part.square**power / part.freedom for part in parts))
