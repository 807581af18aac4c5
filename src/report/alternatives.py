"""Alternative texts of the report's charts: what a reader who cannot see one should know."""

from __future__ import annotations

from collections.abc import Mapping

from src.evaluation.predictions import Predictions
from src.report.comparison import Comparison
from src.report.curves import LearningCurve
from src.report.formats import duration, interval, listed, percent


def accuracy(comparison: Comparison) -> str:
    """Of the accuracy chart."""
    rows = (
        f"{row.name} {percent(row.test.accuracy)} ({interval(row.test)})" for row in comparison.rows
    )
    return f"Test accuracy with 95% intervals: {listed(rows)}."


def time(comparison: Comparison) -> str:
    """Of the chart of accuracy against time."""
    rows = (
        f"{row.name} {percent(row.test.accuracy)} in {duration(row.trained.seconds)}"
        for row in comparison.front
    )
    return f"Test accuracy against training time; no row beats these in both: {listed(rows)}."


def curves(curves: Mapping[str, LearningCurve]) -> str:
    """Of the learning curves."""
    rows = (
        f"{name} keeps epoch {curve.best_epoch} of {len(curve.val)} at "
        f"{percent(curve.val[curve.best_epoch - 1])}"
        for name, curve in curves.items()
    )
    return f"Validation and training accuracy by epoch: {listed(rows)}."


def confusions(predictions: Predictions) -> str:
    """Of the small confusion matrices."""
    rows = (f"{name} {int((~predictions.correct(name)[0]).sum())}" for name in predictions.logits)
    return f"Confusion matrices; mistakes on {len(predictions.labels)} images: {listed(rows)}."


def changes(changes: Mapping[str, Mapping[str, float]]) -> str:
    """Of the chart of weight changes; layer to norm, for each experiment."""
    if not changes:
        return "L2 norm of the weight change by layer; no layer moved."
    rows = (
        f"{name} most in {max(change, key=lambda layer: change[layer])}"
        for name, change in changes.items()
    )
    return f"L2 norm of the weight change by layer; {listed(rows)}."
