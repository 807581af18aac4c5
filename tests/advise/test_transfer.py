"""The transferability scores against independent computations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import multivariate_normal
from sklearn.datasets import make_classification

from src.advise.transfer import log_me, probe


def problem(separation: float, images: int = 60, width: int = 6) -> tuple[Any, Any]:
    return make_classification(
        images,
        width,
        n_informative=4,
        n_redundant=0,
        n_classes=3,
        n_clusters_per_class=1,
        class_sep=separation,
        random_state=1,
    )


@pytest.mark.parametrize(("images", "width"), [(60, 6), (24, 40)])
def test_log_me_is_the_largest_evidence_of_the_bayesian_linear_model(
    images: int, width: int
) -> None:
    """Against the marginal Gaussian's density, maximised over both precisions by scipy."""
    features, labels = problem(1.0, images, width)

    def largest(target: Any) -> float:
        def negative(logs: Any) -> float:
            alpha, beta = np.exp(logs)
            covariance = np.eye(images) / beta + features @ features.T / alpha
            return -float(multivariate_normal(np.zeros(images), covariance).logpdf(target))

        starts = [(0.0, 0.0), (3.0, 1.0), (1.0, 3.0)]
        return -min(minimize(negative, start, method="Nelder-Mead").fun for start in starts)

    expected = np.mean([largest((labels == k).astype(float)) / images for k in range(3)])
    assert log_me(features, labels) == pytest.approx(expected, abs=2e-3)


def test_both_scores_rise_with_the_classes_separation() -> None:
    far, near = problem(2.0), problem(0.3)
    assert log_me(*far) > log_me(*near)
    assert probe(*far, seed=0) > probe(*near, seed=0)


def test_the_probe_of_features_that_know_nothing_is_near_chance() -> None:
    draw = np.random.default_rng(0)
    labels = np.arange(4).repeat(50)
    assert probe(draw.normal(size=(200, 10)), labels, seed=0) == pytest.approx(0.25, abs=0.1)


@pytest.mark.filterwarnings("error")
def test_a_class_with_a_single_image_costs_the_probe_that_image() -> None:
    features, labels = problem(5.0, 60)
    assert probe(features, labels, seed=0) == 1
    alone = np.append(features, features[:1], axis=0), np.append(labels, 3)
    assert probe(*alone, seed=0) == pytest.approx(60 / 61)
