"""The figure of what a threshold does to the images that measure it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from src.evaluation.openset import coverage_curve
from src.evaluation.strangers import Half
from src.models.threshold import Threshold
from src.plotting import BLUE, MUTED, ORANGE, figure, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAMES = {
    "probability": "log-odds of the largest probability",
    "energy": "logarithm of the sum of exp(logits)",
    "distance": "largest cosine with a subject's mean features",
}


@styled
def strangers_figure(half: Half, threshold: Threshold) -> Figure:
    """Scores of test images and strangers beside the threshold; accuracy against coverage."""
    import numpy as np

    drawn, (axes,) = figure(9, 3.4, columns=2)
    score = str(threshold.score)
    known, strangers = half.known[score], half.strangers[score]
    edges = np.histogram_bin_edges(np.concatenate([known, strangers]), 30)
    for values, label, colour in ((known, "subjects", BLUE), (strangers, "strangers", ORANGE)):
        weights = np.full(len(values), 1 / len(values))
        axes[0].hist(values, edges, weights=weights, color=colour, alpha=0.6, label=label)
    axes[0].axvline(threshold.value, color=MUTED, linewidth=1.2, linestyle="--", label="threshold")
    axes[0].set(xlabel=NAMES[score], ylabel="share of their images")
    axes[0].legend(frameon=False)
    right = half.probabilities.argmax(1) == half.labels
    axes[1].plot(*coverage_curve(known, right), color=BLUE)
    accepted = known > threshold.value
    if accepted.any():
        axes[1].plot(accepted.mean(), right[accepted].mean(), "o", color=MUTED, label="threshold")
        axes[1].legend(frameon=False)
    axes[1].set(xlabel="share of test images answered", ylabel="share of those right")
    axes[1].set(xlim=(0, 1.02))
    return drawn
