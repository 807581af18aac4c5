"""The fitted temperature is that of scikit-learn and of a general minimiser, within its bounds."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from torch.nn.functional import cross_entropy

from src.models.network import COLDEST, HOTTEST
from src.training.temperature import fit_temperature


class Logits(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A fitted classifier whose features are its logits."""

    def fit(self, _values: object, labels: np.ndarray) -> Logits:
        self.classes_ = np.unique(labels)
        return self

    def decision_function(self, values: np.ndarray) -> np.ndarray:
        return values

    def predict(self, values: np.ndarray) -> np.ndarray:
        return self.classes_[values.argmax(1)]


def answers(scale: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits that are `scale` times those of the right probabilities."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(500, 4, generator=generator)
    labels = torch.multinomial(logits.softmax(1), 1, generator=generator).flatten()
    return scale * logits, labels


@pytest.mark.parametrize("scale", [0.25, 1.0, 4.0])
def test_it_is_the_maximum_of_the_likelihood(scale: float) -> None:
    logits, labels = answers(scale)
    found = fit_temperature(logits, labels)

    def loss(logarithm: float) -> float:
        return cross_entropy(logits.double() / np.exp(logarithm), labels).item()

    best = minimize_scalar(loss, bounds=(np.log(COLDEST), np.log(HOTTEST)), method="bounded")
    assert found == pytest.approx(np.exp(best.x), rel=1e-4)
    assert found == pytest.approx(scale, rel=0.2)


@pytest.mark.parametrize("scale", [0.25, 4.0])
def test_it_gives_the_probabilities_of_scikit_learn(scale: float) -> None:
    logits, labels = answers(scale)
    fitted = Logits().fit(logits.numpy(), labels.numpy())
    theirs = CalibratedClassifierCV(FrozenEstimator(fitted), method="temperature")
    theirs.fit(logits.double().numpy(), labels.numpy())
    ours = (logits / fit_temperature(logits, labels)).softmax(1).numpy()
    np.testing.assert_allclose(theirs.predict_proba(logits.double().numpy()), ours, atol=1e-4)


def test_without_a_maximum_it_is_a_bound() -> None:
    right = torch.eye(3).repeat(4, 1)
    labels = torch.arange(3).repeat(4)
    assert fit_temperature(right, labels) == COLDEST
    assert fit_temperature(right, (labels + 1) % 3) == HOTTEST
    assert fit_temperature(torch.zeros(3, 3), torch.arange(3)) == COLDEST
