"""Two scores of how well a network's features fit the labels: a linear probe, and LogME.

Both use training images only, and take seconds where fine-tuning takes minutes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROUNDS, TOLERANCE = 100, 1e-6


def probe(features: NDArray[Any], labels: NDArray[Any], seed: int) -> float:
    """Accuracy of a linear classifier of (N, D) features on images that it was not fitted on."""
    from src.evaluation.probe import out_of_fold

    return float((out_of_fold(features, labels, seed).argmax(axis=1) == labels).mean())


def log_me(features: NDArray[Any], labels: NDArray[Any]) -> float:
    """Logarithm of maximum evidence per image, mean over classes (You et al., 2021, LogME).

    Each class's 0/1 label is regressed on the (N, D) features by a Bayesian linear model with
    prior precision alpha and noise precision beta; the evidence is maximised over both by
    MacKay's fixed point. Higher is better; values for different labels cannot be compared.
    """
    import numpy as np

    features = np.asarray(features, np.float64)
    left, singular, _ = np.linalg.svd(features, full_matrices=False)
    scores = [
        _evidence((labels == label).astype(np.float64), left, singular**2, features.shape[1])
        for label in np.unique(labels)
    ]
    return float(np.mean(scores))


def _evidence(
    target: NDArray[Any], left: NDArray[Any], spectrum: NDArray[Any], width: int
) -> float:
    """Largest log p(target | features; alpha, beta) / N, by the features' singular values."""
    import numpy as np

    images = len(target)
    along = (left.T @ target) ** 2
    outside = max(float(target @ target - along.sum()), 0.0)
    alpha = beta = 1.0
    for _ in range(ROUNDS):
        before = alpha / beta
        damped = spectrum + before
        freedom = float((spectrum / damped).sum())
        weights = float((spectrum * along / damped**2).sum())
        residual = float((along * (before / damped) ** 2).sum()) + outside
        alpha = freedom / (weights + 1e-12)
        beta = (images - freedom) / (residual + 1e-12)
        if abs(alpha / beta - before) <= TOLERANCE * before:
            break
    damped = spectrum + alpha / beta
    weights = float((spectrum * along / damped**2).sum())
    residual = float((along * (alpha / beta / damped) ** 2).sum()) + outside
    total = images * np.log(beta) + width * np.log(alpha) - images * np.log(2 * np.pi)
    total -= beta * residual + alpha * weights
    total -= np.log(alpha + beta * spectrum).sum() + (width - len(spectrum)) * np.log(alpha)
    return float(total / (2 * images))
