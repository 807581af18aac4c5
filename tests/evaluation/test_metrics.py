"""Figures of merit against scikit-learn and against formulas written out here."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import binomtest, norm, t
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    f1_score,
    precision_recall_fscore_support,
    top_k_accuracy_score,
)

from src.evaluation.metrics import (
    Proportion,
    Score,
    answers,
    confusion,
    interval,
    interval_of_means,
    macro_f1,
    per_subject,
    score,
    top_k,
    wilson,
)
from src.evaluation.predictions import Predictions


def sample(
    images: int = 200, classes: int = 12, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, images)
    logits = generator.normal(size=(images, classes)).astype(np.float32)
    logits[np.arange(images), labels] += 1.5
    return logits, labels


@given(st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_is_the_one_scipy_gives(counts: tuple[int, int]) -> None:
    correct, images = counts
    expected = binomtest(correct, images).proportion_ci(method="wilson")
    found = wilson(correct, images)
    assert found.value == correct / images
    assert found.low == pytest.approx(expected.low, abs=1e-9)
    assert found.high == pytest.approx(expected.high, abs=1e-9)


def test_a_score_agrees_with_scikit_learn() -> None:
    logits, labels = sample()
    found = score(logits[None], labels)
    predicted = logits.argmax(1)
    assert found.accuracy == accuracy_score(labels, predicted)
    assert found.top5 == top_k_accuracy_score(labels, logits, k=5)
    assert found.macro_f1 == pytest.approx(f1_score(labels, predicted, average="macro"))
    assert found.accuracy_low < found.accuracy < found.accuracy_high
    assert found.images == 200


@given(st.data())
def test_counts_by_subject_agree_with_scikit_learn(data: st.DataObject) -> None:
    classes, images = data.draw(st.integers(2, 6)), data.draw(st.integers(1, 40))
    several = st.lists(st.integers(-1, classes - 1), min_size=images, max_size=images)
    labels = np.maximum(data.draw(several), 0)
    predicted = np.array(data.draw(several))
    names = tuple(str(number) for number in range(classes))
    columns = precision_recall_fscore_support(
        labels, predicted, labels=range(classes), zero_division=0.0
    )
    found = per_subject(labels, predicted, names)
    for subject, *expected in zip(found, *columns, strict=True):
        values = (subject.precision, subject.recall, subject.f1, subject.images)
        assert values == pytest.approx(expected)
    np.testing.assert_array_equal(
        confusion(labels, predicted, classes),
        confusion_matrix(np.append(labels, 0), np.append(predicted, 0), labels=range(classes))
        - np.eye(classes, dtype=int) * (np.arange(classes) == 0),
    )
    present = np.union1d(labels, predicted[predicted >= 0])
    macro = f1_score(labels, predicted, labels=present, average="macro", zero_division=0.0)
    assert macro_f1(labels, predicted) == pytest.approx(macro)


@pytest.mark.parametrize("classes", [2, 5, 6])
def test_top_five_is_told_only_where_more_than_five_could_be_named(classes: int) -> None:
    logits, labels = sample(classes=classes)
    found = score(logits[None], labels)
    assert (found.top5 is None) == (classes <= 5)
    assert ("top5" in found.as_dict()) == (classes > 5)
    assert Score(**found.as_dict()).accuracy == pytest.approx(found.accuracy, abs=1e-6)


def named_by_hand(logits: list[float], label: int, k: int) -> bool:
    """Right where the label's is a number, and fewer than k are NaN or larger."""
    own = logits[label]
    ahead = [value for value in logits if np.isnan(value) or value > own]
    return not np.isnan(own) and len(ahead) < k


@pytest.mark.parametrize("classes", [3, 9])
def test_a_logit_that_is_not_a_number_never_counts_as_right(classes: int) -> None:
    logits, labels = sample(classes=classes)
    rows = np.arange(len(labels))
    logits[rows % 5 == 1, 0] = np.nan
    logits[rows % 5 == 2, labels[rows % 5 == 2]] = np.nan
    logits[rows % 5 == 3] = np.nan
    assert (logits.argmax(1) == labels)[rows % 5 == 2].all(), "what argmax makes of it"
    for k in (1, 2, 5):
        by_hand = [named_by_hand(*pair, k) for pair in zip(logits.tolist(), labels, strict=True)]
        assert top_k(logits, labels, k) == np.mean(by_hand)
    found = score(logits[None], labels)
    assert found.accuracy == top_k(logits, labels, 1) < 0.5
    assert Predictions({"A": logits[None]}, labels, rows, ()).correct("A").mean() == found.accuracy
    answered = answers(logits)
    shares = []
    for subject in range(classes):
        hit = np.sum((answered == subject) & (labels == subject))
        shares.append(2 * hit / (np.sum(answered == subject) + np.sum(labels == subject)))
    assert found.macro_f1 == pytest.approx(np.mean(shares))


def test_figures_per_subject_count_by_hand() -> None:
    labels, predicted = np.array([0, 0, 0, 1, 1]), np.array([0, 0, 1, 1, 2])
    ann, bob, eve = per_subject(labels, predicted, ("ann", "bob", "eve"))
    assert (ann.precision, ann.recall, ann.f1, ann.images) == (1.0, 2 / 3, 0.8, 3)
    assert (bob.precision, bob.recall, bob.images) == (0.5, 0.5, 2)
    assert (eve.precision, eve.recall, eve.f1, eve.images) == (0.0, 0.0, 0.0, 0)


def test_rows_of_a_confusion_matrix_are_actual_subjects() -> None:
    counts = confusion(np.array([0, 0, 1]), np.array([0, 2, 1]), 3)
    assert counts.tolist() == [[1, 0, 1], [0, 1, 0], [0, 0, 0]]


ANSWERS = np.random.default_rng(0).random((5, 300)) < np.linspace(0.3, 0.9, 300)


def width(found: Proportion) -> float:
    return found.high - found.low


def test_with_one_seed_the_interval_is_wilsons() -> None:
    expected = wilson(int(ANSWERS[0].sum()), 300)
    assert interval(ANSWERS[:1]) == expected
    assert interval_of_means([float(ANSWERS[0].mean())], 300) == expected


def test_seeds_that_answer_alike_count_as_one() -> None:
    alike = np.repeat(ANSWERS[:1], 5, axis=0)
    one = interval(ANSWERS[:1])
    for found in (interval(alike), interval_of_means([float(ANSWERS[0].mean())] * 5, 300)):
        assert found.low == pytest.approx(one.low)
        assert found.high == pytest.approx(one.high)


def test_the_luck_of_single_answers_averages_out_over_seeds_but_seeds_that_differ_widen() -> None:
    assert width(interval(ANSWERS)) < width(interval(ANSWERS[:1]))
    differing = ANSWERS.copy()
    differing[:2, :120] = False
    assert width(interval(differing)) > width(interval(differing[:1]))
    accuracies = differing.mean(axis=1).tolist()
    assert width(interval_of_means(accuracies, 300)) >= width(interval(differing))


def by_the_formulas(
    share: float, by_image: float, seeds: tuple[float, float, int], images: int, most: int
) -> list[float]:
    """Both limits by docs/statistics.md; `seeds`: their part, the same not subtracted from, S - 1.

    Wilson's limits are the two shares p with (share - p)² = z² p (1 - p) / n.
    """
    part, square, freedom = seeds
    whole, power = by_image + part, 1 if freedom == 1 else 2
    degrees = whole**power / (by_image**power / (images - 1) + square**power / freedom)
    n = share * (1 - share) / whole
    n = min(n * (t.ppf(0.975, images - 1) / t.ppf(0.975, degrees)) ** 2, most)
    z2 = norm.ppf(0.975) ** 2
    return sorted(np.roots([1 + z2 / n, -2 * share - z2 / n, share**2]))


@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize("worse", [0, 120], ids=["seeds as good", "a seed that is worse"])
def test_over_several_seeds_the_interval_is_that_of_the_documented_formulas(
    seeds: int, worse: int
) -> None:
    correct = ANSWERS[:seeds].copy()
    correct[0, :worse] = False
    share, of_seeds, of_images = correct.mean(), correct.mean(axis=1), correct.mean(axis=0)
    luck = sum(
        (correct[s, i] - of_seeds[s] - of_images[i] + share) ** 2
        for s in range(seeds)
        for i in range(300)
    ) / ((seeds - 1) * 299)
    between = sum((each - share) ** 2 for each in of_seeds) / (seeds - 1)
    by_seed = (max(between - luck / 300, 0) / seeds, between / seeds, seeds - 1)
    by_image = sum((each - share) ** 2 for each in of_images) / 300 / 300
    found = interval(correct)
    expected = by_the_formulas(share, by_image, by_seed, 300, 300 * seeds)
    assert [found.low, found.high] == pytest.approx(expected, abs=1e-9)

    by_seed = (between / seeds, between / seeds, seeds - 1)
    found = interval_of_means(of_seeds.tolist(), 300)
    expected = by_the_formulas(share, share * (1 - share) / 300, by_seed, 300, 300)
    assert [found.low, found.high] == pytest.approx(expected, abs=1e-9)


@given(st.integers(2, 5), st.integers(1, 30), st.integers(0, 99), st.floats(0, 1))
def test_an_interval_holds_its_mean_and_stays_within_bounds(
    seeds: int, images: int, draw: int, share: float
) -> None:
    correct = np.random.default_rng(draw).random((seeds, images)) < share
    for found in (interval(correct), interval_of_means(correct.mean(axis=1).tolist(), images)):
        assert found.value == pytest.approx(correct.mean())
        assert 0 <= found.low <= found.value + 1e-12
        assert found.value - 1e-12 <= found.high <= 1
        assert found.low < found.high


def test_a_score_of_several_seeds_is_the_mean_of_each_ones_score() -> None:
    logits, labels = sample()
    seeds = np.stack([logits, np.roll(logits, 1, axis=0), logits[:, ::-1]])
    found, each = score(seeds, labels), [score(one[None], labels) for one in seeds]
    assert found.accuracy == pytest.approx(np.mean([one.accuracy for one in each]))
    assert found.accuracy_sd == pytest.approx(np.std([one.accuracy for one in each], ddof=1))
    assert found.top5 == pytest.approx(np.mean([one.top5 for one in each]))
    assert found.macro_f1 == pytest.approx(np.mean([one.macro_f1 for one in each]))
    assert (found.seeds, each[0].seeds, each[0].accuracy_sd) == (3, 1, None)
