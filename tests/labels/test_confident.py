"""Confident learning's rule: against a naive loop, a worked example, and what must always hold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from src.labels.confident import doubts, thresholds

Judged = tuple[NDArray[np.float64], NDArray[np.int64]]


@st.composite
def judged(draw: st.DrawFn) -> Judged:
    """(N, C) probabilities, some of them equal, and (N,) labels."""
    images, subjects = draw(st.integers(1, 12)), draw(st.integers(2, 4))
    weights = draw(arrays.arrays(np.int64, (images, subjects), elements=st.integers(1, 9)))
    labels = draw(arrays.arrays(np.int64, images, elements=st.integers(0, subjects - 1)))
    return weights / weights.sum(axis=1, keepdims=True), labels


def naive(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> dict[int, int]:
    """The suggested label of each suspect, word by word as the paper has it."""
    found = {}
    for image, label in enumerate(labels):
        best = None
        for other in (label, *range(probabilities.shape[1])):
            own = [p[other] for p, of in zip(probabilities, labels, strict=True) if of == other]
            if not own or probabilities[image, other] < np.mean(own):
                continue
            if best is None or probabilities[image, other] > probabilities[image, best]:
                best = other
        if best is not None and best != label:
            found[image] = best
    return found


@given(judged())
def test_the_suspects_are_those_of_a_naive_loop(given_: Judged) -> None:
    found = doubts(*given_)
    assert dict(zip(found.rows.tolist(), found.suggested.tolist(), strict=True)) == naive(*given_)


@given(judged())
def test_margins_fall_and_are_the_difference_of_both_labels(given_: Judged) -> None:
    probabilities, labels = given_
    found = doubts(probabilities, labels)
    assert (np.diff(found.margins) <= 0).all()
    for row, suggested, margin in zip(found.rows, found.suggested, found.margins, strict=True):
        difference = probabilities[row, suggested] - probabilities[row, labels[row]]
        assert margin == pytest.approx(difference)
        assert suggested != labels[row]


@given(st.integers(0, 2**32))
def test_the_order_of_images_and_the_numbers_of_labels_do_not_matter(seed: int) -> None:
    draw = np.random.default_rng(seed)
    probabilities, labels = draw.dirichlet(np.ones(4), 30), draw.integers(0, 4, 30)
    order, names = draw.permutation(30), draw.permutation(4)
    renamed = np.empty_like(probabilities)
    renamed[:, names] = probabilities
    before, after = doubts(probabilities, labels), doubts(renamed[order], names[labels[order]])
    assert order[after.rows].tolist() == before.rows.tolist()
    assert after.suggested.tolist() == names[before.suggested].tolist()


def test_a_classifier_that_is_always_right_doubts_nothing() -> None:
    labels = np.arange(6) % 3
    assert not len(doubts(np.eye(3)[labels] * 0.7 + 0.1, labels).rows)


def test_a_worked_example() -> None:
    """Thresholds are (0.9 + 0.7 + 0.2) / 3 = 0.6 and (0.6 + 0.4) / 2 = 0.5."""
    first = np.array([0.9, 0.7, 0.2, 0.4, 0.6])
    labels = np.array([0, 0, 0, 1, 1])
    probabilities = np.column_stack([first, 1 - first])
    assert thresholds(probabilities, labels) == pytest.approx([0.6, 0.5])
    found = doubts(probabilities, labels)
    assert found.rows.tolist() == [2, 4], "0.8 for the other label, then 0.6"
    assert found.suggested.tolist() == [1, 0]
    assert found.margins == pytest.approx([0.6, 0.2])


def test_a_label_that_no_image_bears_is_never_suggested() -> None:
    found = doubts(np.array([[0.1, 0.2, 0.7], [0.2, 0.1, 0.7]]), np.array([0, 1]))
    assert 2 not in found.suggested and thresholds(np.ones((1, 2)), np.array([0]))[1] == np.inf


def test_a_label_that_is_as_likely_as_any_is_not_doubted() -> None:
    assert not len(doubts(np.full((4, 2), 0.5), np.array([0, 1, 0, 1])).rows)
