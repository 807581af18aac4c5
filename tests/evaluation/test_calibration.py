"""Calibration figures by hand, for cases that can be counted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import log_loss

from src.evaluation.calibration import BINS, Calibration, bins, ece, log_softmax
from src.evaluation.figures import reliability_figure
from tests import fabricate

GENERATOR = np.random.default_rng(0)
LOGITS = GENERATOR.normal(0, 2, (300, 5)).astype(np.float32)
LABELS = GENERATOR.integers(0, 5, 300)


def test_the_error_is_the_weighted_gap_between_accuracy_and_confidence_in_each_bin() -> None:
    logarithms = log_softmax(LOGITS)
    confidence, answer = np.exp(logarithms).max(1), logarithms.argmax(1)
    expected = 0.0
    for number in range(BINS):
        inside = (confidence > number / BINS) & (confidence <= (number + 1) / BINS)
        if inside.any():
            gap = (answer == LABELS)[inside].mean() - confidence[inside].mean()
            expected += inside.mean() * abs(gap)
    assert ece(logarithms, LABELS) == pytest.approx(expected)
    assert bins(logarithms, LABELS).counts.sum() == 300


def test_probabilities_that_are_the_shares_of_right_answers_have_no_error() -> None:
    logits = np.log(np.tile([0.75, 0.25], (4, 1)))
    assert ece(log_softmax(logits), np.array([0, 0, 0, 1])) == pytest.approx(0)
    sure = np.tile([100.0, 0.0], (4, 1))
    assert ece(log_softmax(sure), np.array([0, 0, 0, 1])) == pytest.approx(0.25)


def test_likelihoods_are_scikit_learns_before_and_after() -> None:
    found = Calibration.of(LOGITS, LABELS, 3.0)
    after, before = (np.exp(log_softmax(LOGITS / T)) for T in (3, 1))
    assert found.nll == pytest.approx(log_loss(LABELS, after), rel=1e-6)
    assert found.nll_uncalibrated == pytest.approx(log_loss(LABELS, before), rel=1e-6)
    assert found.ece == pytest.approx(ece(log_softmax(LOGITS / 3), LABELS))
    assert found.ece_uncalibrated == pytest.approx(ece(log_softmax(LOGITS), LABELS))
    assert found.ece != pytest.approx(found.ece_uncalibrated, rel=0.1)
    assert Calibration.read(found.as_dict() | {"other": 1}) == Calibration(**found.as_dict())


def test_the_diagram_draws_both_and_names_their_errors() -> None:
    made = replace(fabricate.predictions(fabricate.faces()), temperatures={"ModelA": 3.0})
    axis = reliability_figure(made, "ModelA").axes[0]
    said = [text.get_text() for text in axis.get_legend().get_texts()]
    logits, labels = made.logits["ModelA"][0], made.labels
    before, after = (ece(log_softmax(logits / temperature), labels) for temperature in (1, 3))
    assert said == [f"before: ECE {before:.3f}", f"after, T = 3: ECE {after:.3f}"]
    assert before != pytest.approx(after, abs=0.01)
