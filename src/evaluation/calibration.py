"""How far a network's probabilities are from the shares of answers that are right.

Of the kept model alone, since only it has a temperature.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

BINS = 15  # equally wide, as in Guo et al. (2017)


@dataclass(frozen=True)
class Calibration:
    """Expected calibration error and negative log-likelihood, with the temperature and without."""

    temperature: float
    ece: float
    ece_uncalibrated: float
    nll: float
    nll_uncalibrated: float

    @classmethod
    def of(
        cls, logits: NDArray[np.float32], labels: NDArray[np.int64], temperature: float
    ) -> Calibration:
        """Of (N, C) logits and their (N,) labels."""
        before, after = log_softmax(logits), log_softmax(logits / temperature)
        nll = _nll(labels, after, before)
        return cls(temperature, ece(after, labels), ece(before, labels), *nll)

    @classmethod
    def read(cls, metrics: Mapping[str, float]) -> Calibration:
        """From a mapping that has more keys; raises KeyError where one is missing."""
        return cls(**{field.name: metrics[field.name] for field in fields(cls)})

    def as_dict(self) -> dict[str, float]:
        """As written to metrics files."""
        return {key: round(value, 6) for key, value in asdict(self).items()}


@dataclass(frozen=True)
class Bins:
    """Answers by their probability: how many in each bin, their mean probability, share right."""

    counts: NDArray[np.int64]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]


def log_softmax(logits: NDArray[Any]) -> NDArray[np.float64]:
    """(..., C) logarithms of the probabilities."""
    import numpy as np

    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    logarithms: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return logarithms


def bins(logarithms: NDArray[np.float64], labels: NDArray[np.int64]) -> Bins:
    """The answers to N images in BINS bins of probability, each with its upper edge; 0 if empty."""
    import numpy as np

    confidence = np.exp(logarithms.max(axis=1))
    right = logarithms.argmax(axis=1) == labels
    place = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    counts = np.bincount(place, minlength=BINS)
    filled = np.maximum(counts, 1)
    sums = (np.bincount(place, each, BINS) / filled for each in (confidence, right))
    return Bins(counts, *sums)


def ece(logarithms: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Expected calibration error: |accuracy - confidence| of each bin, weighted by its images."""
    found = bins(logarithms, labels)
    gaps = abs(found.accuracy - found.confidence)
    return float((found.counts * gaps).sum() / found.counts.sum())


def _nll(labels: NDArray[np.int64], *logarithms: NDArray[np.float64]) -> list[float]:
    return [float(-each[range(len(labels)), labels].mean()) for each in logarithms]
