"""Probabilities of images by linear classifiers of features that were not fitted on them."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

FOLDS = 5
STRENGTH = 0.01  # C of the logistic regression on standardised features


def out_of_fold(
    features: NDArray[Any], labels: NDArray[np.int64], seed: int
) -> NDArray[np.float64]:
    """(N, C) probabilities of (N, D) features by stratified cross-validation.

    The linear probe of Alain and Bengio (2017). Each image is classified once, by a logistic
    regression that was not fitted on it: one of a class without other images by none that knows its
    class, to which it then gives 0. At least one class needs two images among the (N,) labels.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    count = min(FOLDS, int(np.bincount(labels).max()))
    folds = StratifiedKFold(count, shuffle=True, random_state=seed)
    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=STRENGTH, max_iter=1000))
    with warnings.catch_warnings():  # of a class with fewer images than folds, or unknown to one
        warnings.simplefilter("ignore", UserWarning)
        warnings.simplefilter("ignore", RuntimeWarning)
        found: NDArray[np.float64] = cross_val_predict(
            classifier, features, labels, cv=folds, method="predict_proba"
        )
    return found
