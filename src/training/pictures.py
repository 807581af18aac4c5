"""The curves of one run as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from src.plotting import BLUE, ORANGE, figure, styled
from src.training.result import Epoch

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@styled
def curves(name: str, history: Sequence[Epoch]) -> Figure:
    """Accuracy and loss by epoch, training and validation."""
    drawn, axes = figure(9, 3.4, columns=2)
    epochs = [epoch.number for epoch in history]
    marker = "o" if len(epochs) < 20 else ""
    panels = {
        "accuracy": ([e.train_accuracy for e in history], [e.val_accuracy for e in history]),
        "loss": ([e.train_loss for e in history], [e.val_loss for e in history]),
    }
    for axis, (title, (train, val)) in zip(axes[0], panels.items(), strict=True):
        axis.plot(epochs, train, color=BLUE, marker=marker, label="training")
        axis.plot(epochs, val, color=ORANGE, marker=marker, label="validation")
        axis.set(title=f"{name}: {title}", xlabel="epoch")
        axis.legend(frameon=False)
    axes[0][0].set_ylim(0, 1.02)
    return drawn
