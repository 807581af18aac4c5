"""The lower limit of a paired difference is where it should be, with few images too."""

from __future__ import annotations

import pytest
from scipy.optimize import minimize_scalar
from scipy.special import xlogy
from scipy.stats import multinomial, norm

from src.evaluation.tango import lower_limit

Z = norm.ppf(0.975)


def score(difference: float, only_first: int, only_second: int, images: int) -> float:
    """Standard errors from a supposed difference to that seen, at the likeliest shares (Tango)."""

    def unlikely(second: float) -> float:
        first, counts = second + difference, (only_first, only_second)
        return -sum(
            xlogy(count, max(share, 0))
            for count, share in zip(
                (*counts, images - sum(counts)), (first, second, 1 - first - second), strict=True
            )
        )

    bounds = (max(0, -difference), (1 - difference) / 2)
    second = minimize_scalar(unlikely, bounds=bounds, options={"xatol": 1e-12}).x
    spread = images * (2 * second + difference - difference**2)
    return (only_first - only_second - images * difference) / spread**0.5


@pytest.mark.parametrize("counts", [(8, 5, 40), (20, 12, 40), (5, 8, 40), (3, 0, 100)])
def test_it_is_the_difference_that_the_score_test_just_does_not_reject(
    counts: tuple[int, int, int],
) -> None:
    assert score(lower_limit(*counts), *counts) == pytest.approx(Z, abs=1e-4)


@pytest.mark.parametrize("images", [28, 400])
def test_without_a_difference_it_has_the_width_that_so_many_images_leave(images: int) -> None:
    assert lower_limit(0, 0, images) == pytest.approx(-(Z**2) / (images + Z**2), abs=1e-6)


def test_it_is_below_the_difference_and_rises_with_it() -> None:
    limits = [lower_limit(first, 5, 40) for first in range(0, 36, 5)]
    assert limits == sorted(limits)
    assert all(
        limit < (first - 5) / 40 for first, limit in zip(range(0, 36, 5), limits, strict=True)
    )
    assert lower_limit(0, 28, 28) == -1 < lower_limit(28, 0, 28) < 1


@pytest.mark.parametrize("shares", [(0.1, 0.1), (0.2, 0.1), (0.05, 0.15), (0.02, 0.02)])
def test_with_28_images_the_true_difference_is_below_it_about_as_rarely_as_promised(
    shares: tuple[float, float],
) -> None:
    first, second = shares
    draws = multinomial(28, [first, second, 1 - first - second])
    missed = sum(
        draws.pmf([b, c, 28 - b - c])
        for b in range(29)
        for c in range(29 - b)
        if lower_limit(b, c, 28) > first - second
    )
    assert missed < 0.035  # of 2.5%; the method is approximate
