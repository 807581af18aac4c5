"""Accuracy, its interval, macro F1 and per-subject scores, from logits and labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import sqrt
from statistics import NormalDist, fmean
from statistics import variance as sample_variance
from typing import TYPE_CHECKING, Any

from src.evaluation.crossed import (
    Component,
    degrees_of_freedom,
    images_component,
    seeds_component,
    variance,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

UPPER = 0.975  # the quantile that leaves 2.5% above a 95% interval


@dataclass(frozen=True)
class Proportion:
    """A share of images with its 95% interval; all within [0, 1]."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Score:
    """One experiment's scores on the test images, within [0, 1]: means over its seeds.

    accuracy_sd: the standard deviation of the seeds' accuracies; None with one seed.
    top5: None for five subjects or fewer, where it is always 1.
    """

    accuracy: float
    accuracy_low: float
    accuracy_high: float
    accuracy_sd: float | None = None
    top5: float | None = None
    macro_f1: float
    images: int
    seeds: int = 1

    @classmethod
    def read(cls, metrics: Mapping[str, Any]) -> Score:
        """From what `as_dict` gave, among other keys."""
        return cls(**{key: value for key, value in metrics.items() if key in cls.__annotations__})

    def as_dict(self) -> dict[str, float]:
        """As written to metrics files: rounded to six decimals, without None."""
        return {key: round(value, 6) for key, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class SubjectScore:
    """One subject's scores; `images` is the number of its images."""

    subject: str
    precision: float
    recall: float
    f1: float
    images: int


def wilson(correct: float, images: float) -> Proportion:
    """The share `correct / images` with its 95% score interval (Wilson, 1927).

    Unlike the textbook normal interval it stays within [0, 1] and holds its level at the few
    hundred images a test split has (Brown, Cai & DasGupta, 2001). Neither number need be whole,
    since `images` may be an effective one (`interval`).
    """
    # Not by scipy.stats, which has it too: it takes seconds to import in every stage.
    z = NormalDist().inv_cdf(UPPER)
    share = correct / images
    middle = (share + z**2 / (2 * images)) / (1 + z**2 / images)
    spread = sqrt(share * (1 - share) / images + (z / (2 * images)) ** 2)
    half = z * spread / (1 + z**2 / images)
    return Proportion(share, max(middle - half, 0.0), min(middle + half, 1.0))


def interval(correct: NDArray[np.bool_]) -> Proportion:
    """The mean accuracy of (S, N) answers with its interval over images and seeds.

    A Wilson interval with the number of images that would give the estimated variance, adjusted
    for the degrees of freedom of that estimate (Korn & Graubard, 1998; Dean & Pagano, 2015).
    """
    seeds, images = correct.shape
    share = float(correct.mean())
    if seeds == 1:
        return wilson(int(correct.sum()), images)
    parts = [images_component(correct.mean(axis=0), ddof=0), seeds_component(correct)]
    return _effective(share, parts, largest=seeds * images)


def interval_of_means(accuracies: Sequence[float], images: int) -> Proportion:
    """The same where only the seeds' accuracies on the images are known, not their answers.

    It is wider, as all answers to an image then count as one.
    """
    share = fmean(accuracies)
    if len(accuracies) == 1:
        return wilson(round(share * images), images)
    by_image = share * (1 - share) / images
    by_seed = sample_variance(accuracies) / len(accuracies)
    parts = [
        Component(by_image, by_image, max(images - 1, 1)),
        Component(by_seed, by_seed, len(accuracies) - 1),
    ]
    return _effective(share, parts, largest=images)


def _effective(share: float, parts: Sequence[Component], largest: int) -> Proportion:
    """Wilson's interval with the effective number of images, which is at most `largest`."""
    from scipy.special import stdtrit

    plain, found = (
        float(stdtrit(freedom, UPPER)) for freedom in (parts[0].freedom, degrees_of_freedom(parts))
    )
    estimated = variance(parts)
    images = share * (1 - share) / estimated if estimated else parts[0].freedom + 1
    images = min(images * (plain / found) ** 2, largest)
    return wilson(share * images, images)


def answers(logits: NDArray[np.float32]) -> NDArray[np.int64]:
    """(..., N) the subject with the largest of (..., N, C) logits; -1 (nobody) where one is NaN."""
    import numpy as np

    named: NDArray[np.int64] = np.where(np.isnan(logits).any(axis=-1), -1, logits.argmax(axis=-1))
    return named


def top_k(logits: NDArray[np.float32], labels: NDArray[np.int64], k: int) -> float:
    """Share of images whose label, (N,), is among the `k` largest of their (N, C) logits.

    A NaN logit counts as larger than the label's; a label whose logit is NaN is never right.
    """
    import numpy as np

    own = logits[np.arange(len(labels)), labels]
    ahead = ~(logits <= own[:, None])
    return float(((ahead.sum(axis=1) < k) & ~np.isnan(own)).mean())


def score(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> Score:
    """All scores of one experiment from the (S, N, C) logits of its seeds and (N,) labels."""
    predicted = answers(logits)
    correct = predicted == labels
    accuracy = interval(correct)
    return Score(
        accuracy=accuracy.value,
        accuracy_low=accuracy.low,
        accuracy_high=accuracy.high,
        accuracy_sd=float(correct.mean(axis=1).std(ddof=1)) if len(correct) > 1 else None,
        top5=fmean(top_k(each, labels, 5) for each in logits) if logits.shape[-1] > 5 else None,
        macro_f1=fmean(macro_f1(labels, each) for each in predicted),
        images=len(labels),
        seeds=len(logits),
    )


def macro_f1(labels: NDArray[np.int64], predicted: NDArray[np.int64]) -> float:
    """The unweighted mean of F1 over the subjects that have images here or were predicted."""
    hits, named, images = _counts(labels, predicted, max(labels.max(), predicted.max()) + 1)
    present = named + images > 0
    return float((2 * hits[present] / (named + images)[present]).mean())


def per_subject(
    labels: NDArray[np.int64], predicted: NDArray[np.int64], subjects: tuple[str, ...]
) -> tuple[SubjectScore, ...]:
    """Precision, recall and F1 of every subject, in the order of `subjects`.

    A score that would be 0/0 (of a subject never predicted, or without images) is 0.
    """
    import numpy as np

    hits, named, images = _counts(labels, predicted, len(subjects))
    columns = (
        hits / np.maximum(named, 1),
        hits / np.maximum(images, 1),
        2 * hits / np.maximum(named + images, 1),
    )
    return tuple(
        SubjectScore(subject, float(precision), float(recall), float(f1), int(count))
        for subject, precision, recall, f1, count in zip(subjects, *columns, images, strict=True)
    )


def confusion(
    labels: NDArray[np.int64], predicted: NDArray[np.int64], classes: int
) -> NDArray[np.int64]:
    """(C, C) counts: row is the actual subject, column the predicted one (-1 is left out)."""
    import numpy as np

    named = predicted >= 0
    counts = np.bincount(labels[named] * classes + predicted[named], minlength=classes**2)
    return counts.reshape(classes, classes)


def _counts(
    labels: NDArray[np.int64], predicted: NDArray[np.int64], classes: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """(C,) right answers, predictions and images of each subject.

    Not by sklearn, which the tests hold this against: its import takes evaluating a second.
    """
    import numpy as np

    right, named = labels[labels == predicted], predicted[predicted >= 0]
    return (
        np.bincount(right, minlength=classes),
        np.bincount(named, minlength=classes),
        np.bincount(labels, minlength=classes),
    )
