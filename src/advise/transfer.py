"""Two scores of how well a network's features fit the labels: a linear probe, and LogME.

Both use training images only, and take seconds where fine-tuning takes minutes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

FOLDS = 5
STRENGTH = 0.01  # C of the probe's logistic regression on standardised features
ROUNDS, TOLERANCE = 100, 1e-6


def probe(features: NDArray[Any], labels: NDArray[Any], seed: int) -> float:
    """Accuracy of logistic regression on (N, D) features by stratified cross-validation.

    The linear probe of Alain and Bengio (2017). Each image is classified once, by a classifier that
    was not fitted on it: one of a class without other images by none that knows its class. At least
    one class needs two images among the (N,) labels.
    """
    import warnings

    import numpy as np
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    folds = StratifiedKFold(
        min(FOLDS, int(np.bincount(labels).max())), shuffle=True, random_state=seed
    )
    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=STRENGTH, max_iter=1000))
    with warnings.catch_warnings():  # of a class with fewer images than folds, which may be
        warnings.simplefilter("ignore", UserWarning)
        answers = cross_val_predict(classifier, features, labels, cv=folds)
    return float((answers == labels).mean())


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
