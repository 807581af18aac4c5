"""Tables of a training result for DVC and people; without timings, which would differ each time."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

from src.training.result import TrainingResult

COLUMNS = ("epoch", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "lr")


def curves_csv(fitted: TrainingResult) -> str:
    """One row per epoch."""
    rows = (
        (e.number, e.train_loss, e.train_accuracy, e.val_loss, e.val_accuracy, e.learning_rate)
        for e in fitted.history
    )
    return _csv(COLUMNS, rows)


def weight_change_csv(fitted: TrainingResult) -> str:
    """One row per parameter: the L2 norm of its change."""
    return _csv(("parameter", "l2_change"), fitted.weight_change.items())


def _csv(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    for row in rows:
        writer.writerow([f"{v:.6g}" if isinstance(v, float) else v for v in row])
    return text.getvalue()
