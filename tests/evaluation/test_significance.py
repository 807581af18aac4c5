"""Tests of differences against enumeration, simulation of the definition, and worked examples."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_1samp, ttest_ind, ttest_rel

from benchmarks.significance import Design, pairs, simulate
from src.evaluation.crossed import degrees_of_freedom, images_component, seeds_component, variance
from src.evaluation.significance import crossed, holm, mcnemar, paired_test


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


ANSWERS = np.random.default_rng(0).random((4, 200)) < np.linspace(0.2, 0.9, 200)


def test_the_seeds_part_is_that_of_a_two_way_analysis_of_variance() -> None:
    """Against mean squares summed cell by cell: E(MS seeds) - E(MS residual) is N times theirs."""
    correct = ANSWERS.copy()
    correct[0, :60] = True  # a seed that is better
    seeds, images = correct.shape
    grand = correct.mean()
    squares = images * sum((row.mean() - grand) ** 2 for row in correct) / (seeds - 1)
    residual = sum(
        (correct[s, i] - correct[s].mean() - correct[:, i].mean() + grand) ** 2
        for s in range(seeds)
        for i in range(images)
    ) / ((seeds - 1) * (images - 1))
    found = seeds_component(correct)
    assert found.value == pytest.approx((squares - residual) / images / seeds)
    assert found.square == pytest.approx(squares / images / seeds)
    assert found.freedom == 3
    same = seeds_component(np.repeat(ANSWERS[:1], 3, axis=0))
    assert (same.value, same.square) == (0.0, 0.0), "seeds that answer alike"


def test_seeds_that_answer_alike_leave_the_paired_t_test_of_the_images() -> None:
    first, second = (np.repeat(ANSWERS[place : place + 1], 3, axis=0) for place in (0, 1))
    found = crossed(first, second)
    expected = ttest_rel(first[0].astype(float), second[0].astype(float))
    assert found.p == pytest.approx(expected.pvalue)
    assert found.difference == pytest.approx(first.mean() - second.mean())
    assert crossed(second, first).p == pytest.approx(found.p)


def test_where_only_seeds_differ_it_is_welchs_test_of_their_accuracies() -> None:
    """All images alike within a seed, so there is no luck of single answers and none of images."""
    first = np.repeat(np.array([[True], [True], [False], [True]]), 50, axis=1)
    second = np.repeat(np.array([[False], [True], [False], [False], [False]]), 50, axis=1)
    expected = ttest_ind(first.mean(axis=1), second.mean(axis=1), equal_var=False)
    assert crossed(first, second).p == pytest.approx(expected.pvalue)


def test_two_seeds_have_fewer_degrees_of_freedom_than_satterthwaites() -> None:
    parts = [images_component(ANSWERS[0].astype(float), ddof=1), seeds_component(ANSWERS[:2])]
    whole = variance(parts)
    satterthwaite = whole**2 / sum(part.square**2 / part.freedom for part in parts)
    assert degrees_of_freedom(parts) < satterthwaite
    parts[1] = seeds_component(ANSWERS)
    whole = variance(parts)
    satterthwaite = whole**2 / sum(part.square**2 / part.freedom for part in parts)
    assert degrees_of_freedom(parts) == pytest.approx(satterthwaite)


def test_with_one_seed_on_either_side_two_networks_are_compared() -> None:
    first, second = ANSWERS[:1], ~ANSWERS[:1]
    assert paired_test(first, second) == mcnemar(first[0], second[0])
    assert not paired_test(first, second).over_seeds


def test_a_side_with_one_seed_is_taken_as_it_is_and_its_difference_is_that_of_the_means() -> None:
    several = np.repeat(np.array([[True], [True], [False], [True]]), 50, axis=1)
    one = np.ones((1, 50), bool)
    expected = ttest_1samp(several.mean(axis=1), 1.0)
    for found, sign in ((paired_test(several, one), -1), (paired_test(one, several), 1)):
        assert found.over_seeds and found.difference == pytest.approx(sign * 0.25)
        assert found.p == pytest.approx(expected.pvalue)


def test_seeds_that_agree_leave_a_paired_t_test_over_images() -> None:
    several, one = np.repeat(ANSWERS[:1], 3, axis=0), ANSWERS[1:2]
    expected = ttest_rel(several[0].astype(float), one[0].astype(float))
    assert paired_test(several, one).p == pytest.approx(expected.pvalue)


def test_equal_answers_differ_by_chance() -> None:
    assert crossed(ANSWERS, ANSWERS).p == 1.0
    assert crossed(ANSWERS[:2], np.ones_like(ANSWERS[:2])).p < 0.001
    none, every = np.zeros((3, 20), bool), np.ones((3, 20), bool)
    assert (crossed(none, none).p, crossed(none, every).p) == (1.0, 0.0)


@pytest.mark.parametrize("seeds", [(5, 5), (5, 2), (2, 2)])
def test_the_test_holds_its_level_where_seeds_differ(seeds: tuple[int, int]) -> None:
    """300 comparisons of equals: more than 24 errors at 5% happen by chance once in 500 times."""
    rates = simulate(Design(100, seeds, (3, 3)), 300)
    assert rates.errors <= 24 / 300
    assert rates.coverage > 0.91


def test_mcnemars_test_errs_where_seeds_differ_as_it_compares_networks() -> None:
    rates = simulate(Design(600, (5, 5), (3, 3)), 200)
    assert rates.mcnemar_errors > 0.15
    assert rates.errors < 0.09


def test_simulated_experiments_are_as_accurate_as_they_should_be() -> None:
    drawn = list(pairs(np.random.default_rng(0), Design(500, (2, 2), (0, 0)), 300, lift=8))
    first, second = (np.mean([pair[side] for pair in drawn]) for side in (0, 1))
    assert first - second == pytest.approx(0.08, abs=0.006)
