"""Figures of merit against scikit-learn and against formulas written out here."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, f1_score, top_k_accuracy_score

from src.evaluation.metrics import confusion, per_subject, score, top_k, wilson


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
    found = score(logits, labels)
    predicted = logits.argmax(1)
    assert found.accuracy == accuracy_score(labels, predicted)
    assert found.top5 == top_k_accuracy_score(labels, logits, k=5)
    assert found.macro_f1 == pytest.approx(f1_score(labels, predicted, average="macro"))
    assert found.accuracy_low < found.accuracy < found.accuracy_high
    assert found.images == 200


def test_top_five_of_fewer_than_five_subjects_is_everything() -> None:
    logits, labels = sample(classes=3)
    assert top_k(logits, labels, 5) == 1.0


def test_figures_per_subject_count_by_hand() -> None:
    labels, predicted = np.array([0, 0, 0, 1, 1]), np.array([0, 0, 1, 1, 2])
    ann, bob, eve = per_subject(labels, predicted, ("ann", "bob", "eve"))
    assert (ann.precision, ann.recall, ann.f1, ann.images) == (1.0, 2 / 3, 0.8, 3)
    assert (bob.precision, bob.recall, bob.images) == (0.5, 0.5, 2)
    assert (eve.precision, eve.recall, eve.f1, eve.images) == (0.0, 0.0, 0.0, 0)


def test_rows_of_a_confusion_matrix_are_actual_subjects() -> None:
    counts = confusion(np.array([0, 0, 1]), np.array([0, 2, 1]), 3)
    assert counts.tolist() == [[1, 0, 1], [0, 1, 0], [0, 0, 0]]
