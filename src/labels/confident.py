"""Which labels disagree with confident predictions of images that no classifier was fitted on.

Confident learning: Northcutt, Jiang and Chuang (2021), "Confident Learning: Estimating Uncertainty
in Dataset Labels", Journal of Artificial Intelligence Research 70. Written from the paper.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Doubts:
    """The images that confident predictions give another label, the clearest first.

    rows: (M,) int64, of the N. suggested: (M,) int64, the other label. margins: (M,) by how much it
    is likelier than the given one; negative where only the given label's threshold speaks against
    the given label.
    """

    rows: NDArray[np.int64]
    suggested: NDArray[np.int64]
    margins: NDArray[np.float64]


def doubts(probabilities: NDArray[Any], labels: NDArray[np.int64]) -> Doubts:
    """What lies off the diagonal of the paper's confident joint (equations 1 and 2).

    A label's threshold is the mean probability that it has among the images that bear it, so that
    a classifier which is surer of some labels than of others does not accuse the others. Of the
    labels that reach their threshold for an image, the likeliest is the one to believe, and the
    given one if none is likelier; where none does, nothing is known. Ranked by the margin between
    the two labels.

    probabilities: (N, C), each row of a classifier that has not seen the image. labels: (N,).
    """
    shares = np.asarray(probabilities, np.float64)
    confident = np.where(shares >= thresholds(shares, labels), shares, -1.0)
    believed = confident.argmax(axis=1)
    rows = np.flatnonzero(confident.max(axis=1) > confident[np.arange(len(labels)), labels])
    margins = shares[rows, believed[rows]] - shares[rows, labels[rows]]
    order = np.argsort(-margins, kind="stable")
    return Doubts(rows[order], believed[rows][order], margins[order])


def thresholds(shares: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """(C,) the mean probability of each label among its images; infinite where it has none."""
    found = np.full(shares.shape[1], np.inf)
    for label in np.unique(labels):
        found[label] = shares[labels == label, label].mean()
    return found
