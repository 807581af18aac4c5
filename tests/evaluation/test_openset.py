"""Open-set figures against naive computation and scikit-learn."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy.stats import t
from sklearn.metrics import roc_auc_score

from src.evaluation.metrics import wilson
from src.evaluation.openset import (
    auroc,
    by_identity,
    candidate_floor,
    conservative_threshold,
    coverage_curve,
    difference,
    resolution,
)


@pytest.fixture
def draw() -> np.random.Generator:
    return np.random.default_rng(0)


def test_auroc_is_scikit_learns_with_ties(draw: np.random.Generator) -> None:
    known, strangers = (draw.integers(0, 9, n) + shift for n, shift in ((70, 1.0), (40, 0.0)))
    truth = np.repeat([1, 0], [70, 40])
    expected = roc_auc_score(truth, np.concatenate([known, strangers]))
    assert auroc(known, strangers) == pytest.approx(expected)


@pytest.mark.parametrize(("count", "far"), [(112, 0.01), (19, 0.1), (40, 0.2)])
def test_a_further_stranger_is_accepted_no_more_often_than_asked(
    draw: np.random.Generator, count: int, far: float
) -> None:
    accepted = [
        scores[-1] > conservative_threshold(scores[:-1], far)
        for scores in draw.normal(size=(4000, count + 1))
    ]
    assert np.mean(accepted) <= far + 3 * np.sqrt(far / 4000)
    assert np.mean(accepted) >= far / 2


def test_below_the_resolution_the_largest_score_is_the_threshold() -> None:
    scores = np.array([3.0, 1.0, 2.0])
    assert resolution(3) == 0.25
    assert conservative_threshold(scores, 0.01) == 3.0
    assert conservative_threshold(scores, 0.25) == 3.0
    assert conservative_threshold(scores, 0.5) == 2.0


def test_an_interval_by_identity_is_wilsons_if_images_are_alike_within_identities() -> None:
    hits = np.array([True, False, False, False, False, True, False, False])
    alike = by_identity(np.repeat(hits, 16), np.repeat(np.arange(8), 16))
    less = (t.ppf(0.975, 127) / t.ppf(0.975, 7)) ** 2 * 7 / 8  # for how few identities there are
    one = wilson(2 * less, 8 * less)
    assert alike.value == one.value
    assert (alike.low, alike.high) == pytest.approx((one.low, one.high), abs=0.001)
    own = by_identity(np.tile(hits, 16), np.arange(128))
    whole = wilson(32, 128)
    assert (own.low, own.high) == pytest.approx((whole.low, whole.high), abs=0.005)


def test_without_a_hit_each_identity_counts_once() -> None:
    assert by_identity(np.zeros(112, bool), np.repeat(np.arange(7), 16)) == wilson(0, 7)


@pytest.mark.parametrize("images", [49, 50])
def test_a_lone_stranger_counts_as_one_image_however_many_there_are(images: int) -> None:
    found = by_identity(np.arange(images) == 0, np.zeros(images, int))
    assert found == wilson(1 / images, 1)


@pytest.mark.parametrize("identities", [2, 4, 7])
def test_intervals_by_identity_hold_the_rate_of_all_strangers(
    draw: np.random.Generator, identities: int
) -> None:
    """Strangers differ: some are hardly ever taken for a subject, others every second time."""
    whose, held = np.repeat(np.arange(identities), 30), 0
    for _ in range(500):
        rates = draw.beta(0.8, 3.2, identities)
        found = by_identity(draw.random(len(whose)) < rates[whose], whose)
        held += found.low <= 0.2 <= found.high
    assert held / 500 > 0.9


def test_the_difference_is_of_the_areas_and_its_interval_of_resampled_identities(
    draw: np.random.Generator,
) -> None:
    subjects, identities = np.repeat(np.arange(6), 5), np.repeat([1, 3, 4, 8], 4)
    one = draw.normal(1.5, 1, 30), draw.normal(0, 1, 16)
    other = draw.normal(0.5, 1, 30), draw.normal(0, 1, 16)
    found = difference(one, other, subjects, identities)
    assert found.value == pytest.approx(auroc(*one) - auroc(*other))
    draws, generator = [], np.random.default_rng(1)
    for _ in range(800):
        people, others = generator.integers(0, 6, 6), generator.choice([1, 3, 4, 8], 4)
        rows = np.concatenate([np.flatnonzero(subjects == each) for each in people])
        columns = np.concatenate([np.flatnonzero(identities == each) for each in others])
        areas = [auroc(known[rows], strangers[columns]) for known, strangers in (one, other)]
        draws.append(areas[0] - areas[1])
    expected = np.quantile(draws, [0.025, 0.975])
    assert (found.low, found.high) == pytest.approx(expected, abs=0.04)


def test_the_coverage_curve_answers_the_highest_scores_first() -> None:
    share, accuracy = coverage_curve(np.array([1.0, 3.0, 2.0]), np.array([False, True, True]))
    assert share == pytest.approx([1 / 3, 2 / 3, 1])
    assert accuracy == pytest.approx([1, 1, 2 / 3])


@pytest.mark.parametrize(("count", "level"), product([28, 60], [0.8, 0.9]))
def test_candidates_hold_the_right_subject_as_often_as_promised(
    draw: np.random.Generator, count: int, level: float
) -> None:
    held = [
        values[-1] >= candidate_floor(values[:-1], level)
        for values in draw.beta(4, 1, size=(4000, count + 1))
    ]
    assert np.mean(held) >= level - 3 * np.sqrt(level * (1 - level) / 4000)
    assert np.mean(held) <= level + 1 / count + 0.02
    assert candidate_floor(np.full(8, 0.9), 0.9) == 0.0, "too few images"
