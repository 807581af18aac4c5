"""Tests of differences against enumeration, simulation of the definition, and worked examples."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.evaluation.significance import holm, mcnemar


def exact_p(only_first: int, only_second: int) -> float:
    """Two-sided: the chance, by enumeration, of any split no likelier than the one seen."""
    n = only_first + only_second
    chances = [math.comb(n, k) / 2**n for k in range(n + 1)]
    return sum(c for c in chances if c <= chances[only_first] * (1 + 1e-9)) if n else 1.0


def outcomes(both: int, first: int, second: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    counts = (both, first, second, neither)
    return (
        np.repeat([True, True, False, False], counts),
        np.repeat([True, False, True, False], counts),
    )


@given(st.tuples(*[st.integers(0, 25)] * 4).filter(any))
def test_mcnemar_is_the_exact_binomial_test_of_discordant_images(
    counts: tuple[int, int, int, int],
) -> None:
    first, second = outcomes(*counts)
    found = mcnemar(first, second)
    assert (found.only_first, found.only_second) == counts[1:3]
    assert found.p == pytest.approx(exact_p(*counts[1:3]))
    assert found.difference == pytest.approx(first.mean() - second.mean())
    assert mcnemar(second, first).p == pytest.approx(found.p)


def test_images_that_both_get_right_say_nothing() -> None:
    few, many = mcnemar(*outcomes(0, 9, 2, 0)), mcnemar(*outcomes(1000, 9, 2, 500))
    assert few.p == many.p


def test_holm_steps_down_and_never_decreases() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))
    assert holm([0.9, 0.8]) == (1.0, 1.0)
    assert holm([]) == ()


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_rejects_what_its_step_down_procedure_rejects(p_values: list[float]) -> None:
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    rejected: set[int] = set()
    for step, index in enumerate(order):
        if p_values[index] * (len(p_values) - step) >= 0.05:
            break
        rejected.add(index)
    adjusted = holm(p_values)
    assert {index for index, p in enumerate(adjusted) if p < 0.05} == rejected
    assert all(after >= before for after, before in zip(adjusted, p_values, strict=True))
