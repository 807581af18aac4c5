"""Heads that scikit-learn fits: the network as a fixed extractor under a classical classifier.

Three of the four are linear in the features, standardisation included, and end as an ordinary
linear head; nearest neighbours keep their training images' features. Whatever has a parameter
gets it by cross-validation on the training images alone, unflipped, so that no fold holds the
mirror image of another's image.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import torch
from threadpoolctl import threadpool_limits
from torch import Tensor, nn
from torch.nn import functional

from src.training.features import Features
from src.training.result import Epoch, score_sums

FOLDS = 5
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # C: the inverse of the regularisation's
NEIGHBOURS = (1, 3, 5, 9)
PART = 1024  # images


def fit_classical(kind: str, head: nn.Module, features: Features, seed: int) -> Epoch:
    """Fit `head` in place and score it as an epoch.

    The loss is the cross-entropy of the scores read as logits, which a support vector machine
    does not minimise and a nearest centroid is far from.
    """
    started = time.perf_counter()
    values, labels = features.values[0].cpu(), features.labels.cpu()
    # Products this small are a dozen times slower on several threads, which wait for each other.
    with threadpool_limits(limits=1):
        pipeline = _search(kind, values, labels, seed)
    linear = isinstance(head, nn.Linear)
    state = _linear(pipeline) if linear else _neighbours(pipeline, values, labels)
    head.load_state_dict(state)
    seconds = time.perf_counter() - started
    train = _scores(head, features.values[0], features.labels)
    val = _scores(head, features.val_values, features.val_labels)
    return Epoch.of(1, train, val, 0.0, seconds, len(labels) / seconds)


@torch.no_grad()
def classify(head: nn.Module, values: Tensor) -> Tensor:
    """(N, classes) logits of (N, D) features, in parts: nearest neighbours compare all with all."""
    return torch.cat([head(part) for part in torch.split(values, PART)])


@torch.no_grad()
def _scores(head: nn.Module, values: Tensor, labels: Tensor) -> list[float]:
    logits = classify(head, values)
    loss = functional.cross_entropy(logits, labels, reduction="sum")
    scores: list[float] = (score_sums(logits, labels, loss) / len(labels)).tolist()
    return scores


def _search(kind: str, values: Tensor, labels: Tensor, seed: int) -> Any:
    """A fitted pipeline of StandardScaler and classifier, the best by cross-validation."""
    from sklearn.model_selection import GridSearchCV, StratifiedKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    folds = min(FOLDS, int(labels.bincount().min()))
    classifier, grid = _classifier(kind, seed, int(len(labels) * (1 - 1 / max(folds, 2))))
    pipeline = make_pipeline(StandardScaler(), classifier)
    if not grid or folds < 2:
        return pipeline.fit(values.numpy(), labels.numpy())
    step = pipeline.steps[-1][0]
    splits = StratifiedKFold(folds, shuffle=True, random_state=seed)
    search = GridSearchCV(pipeline, {f"{step}__{k}": list(v) for k, v in grid.items()}, cv=splits)
    return search.fit(values.numpy(), labels.numpy()).best_estimator_


def _classifier(kind: str, seed: int, fewest: int) -> tuple[Any, Mapping[str, tuple[float, ...]]]:
    """An unfitted classifier and the values to search; folds train on `fewest` images or more."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier, NearestCentroid
    from sklearn.svm import LinearSVC

    neighbours = tuple(k for k in NEIGHBOURS if k <= fewest)
    classifiers: dict[str, tuple[Any, Mapping[str, tuple[float, ...]]]] = {
        "svm": (LinearSVC(random_state=seed, max_iter=5000), {"C": STRENGTHS}),
        "logistic": (LogisticRegression(max_iter=1000), {"C": STRENGTHS}),
        "centroid": (NearestCentroid(), {}),
        "knn": (KNeighborsClassifier(1), {"n_neighbors": neighbours}),
    }
    return classifiers[kind]


def _linear(pipeline: Any) -> dict[str, Tensor]:
    """Weight and bias of the linear head that equals the scaler followed by the classifier."""
    import numpy as np

    scaler, classifier = (step for _, step in pipeline.steps)
    if hasattr(classifier, "coef_"):
        weight, bias = classifier.coef_, classifier.intercept_
        if len(weight) == 1:  # two classes have one score, the second's
            weight, bias = np.vstack([-weight, weight]) / 2, np.array([-bias[0], bias[0]]) / 2
    else:  # nearer to a centroid c is larger in x.c - c.c / 2
        weight = classifier.centroids_
        bias = -0.5 * (weight**2).sum(1)
    weight = weight / scaler.scale_
    bias = bias - weight @ scaler.mean_
    return {
        "weight": torch.tensor(weight, dtype=torch.float32),
        "bias": torch.tensor(bias, dtype=torch.float32),
    }


def _neighbours(pipeline: Any, values: Tensor, labels: Tensor) -> dict[str, Tensor]:
    scaler, classifier = (step for _, step in pipeline.steps)
    mean, scale = (torch.tensor(v, dtype=torch.float32) for v in (scaler.mean_, scaler.scale_))
    return {
        "mean": mean,
        "scale": scale,
        "stored": (values - mean) / scale,
        "labels": labels,
        "neighbours": torch.tensor(classifier.n_neighbors),
    }
