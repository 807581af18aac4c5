"""Pictures of one experiment's test result: confusion matrix, worst mistakes, worst subjects."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from src.data.faceset import FaceSet
from src.evaluation.metrics import SubjectScore, confusion
from src.evaluation.mistakes import Mistake, worst_subjects
from src.evaluation.predictions import Predictions
from src.plotting import BLUE, GREEN, INK, MUTED, ORANGE, blank, face, figure, shades, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

NAMED = 40  # subjects, up to which every row of a confusion matrix can be read
COUNTED = 25  # subjects, up to which a cell has room for its count


def draw_confusion(axis: Any, matrix: NDArray[Any]) -> None:
    """Each actual subject's images (row) by what they were called (column), as shares of the row.

    The diagonal, where answers are right, is blue; mistakes are orange, so that few stand out.
    """
    import numpy as np

    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    right = np.eye(len(matrix), dtype=bool)
    for cells, colour in ((right, BLUE), (~right, ORANGE)):
        axis.imshow(
            np.where(cells, shares, 0.0), cmap=shades(colour), vmin=0, vmax=1,
            interpolation="nearest",
        )  # fmt: skip
    axis.spines[:].set_visible(True)
    axis.set_xticks([])
    axis.set_yticks([])


@styled
def confusion_figure(predictions: Predictions, experiment: str) -> Figure:
    """The confusion matrix of one experiment, subjects and counts named where they fit."""
    subjects = predictions.subjects
    matrix = confusion(predictions.labels, predictions.predicted(experiment), len(subjects))
    side = min(10.0, max(4.5, 0.32 * len(subjects) + 1.5))
    drawn, axes = figure(side + 0.5, side)
    axis = axes[0, 0]
    draw_confusion(axis, matrix)
    axis.set_xlabel("predicted subject")
    axis.set_ylabel("actual subject")
    if len(subjects) <= NAMED:
        names = [short(subject) for subject in subjects]
        axis.set_xticks(range(len(subjects)), names, rotation=90, fontsize=7)
        axis.set_yticks(range(len(subjects)), names, fontsize=7)
    if len(subjects) <= COUNTED:
        for row, column in zip(*matrix.nonzero(), strict=True):
            strong = matrix[row, column] * 2 > matrix[row].sum()
            axis.text(
                column, row, str(matrix[row, column]), ha="center", va="center", fontsize=7,
                color="white" if strong else INK,
            )  # fmt: skip
    return drawn


@styled
def mistakes_figure(
    faces: FaceSet, mistakes: tuple[Mistake, ...], subjects: tuple[str, ...]
) -> Figure:
    """Each wrong answer as a pair: the test image, and the predicted subject's nearest one."""
    columns = 3
    rows = max(1, math.ceil(len(mistakes) / columns))
    drawn, axes = figure(9.5, 1.9 * rows + 0.2, rows, columns * 2)
    for axis in axes.flat:
        blank(axis)
    for index, mistake in enumerate(mistakes):
        row, column = divmod(index, columns)
        face(axes[row, 2 * column], faces.images[mistake.row], short(subjects[mistake.actual]))
        called = f"{short(subjects[mistake.predicted])}, {mistake.probability:.0%}"
        if mistake.lookalike is None:
            axes[row, 2 * column + 1].set_title(called, fontsize=8, color=ORANGE)
        else:
            face(axes[row, 2 * column + 1], faces.images[mistake.lookalike], called, ORANGE)
    if not mistakes:
        axes[0, 0].text(0, 0.5, "no mistake on the test images", color=MUTED)
    return drawn


@styled
def worst_subjects_figure(
    faces: FaceSet,
    predictions: Predictions,
    experiment: str,
    scores: tuple[SubjectScore, ...],
    count: int = 6,
    width: int = 10,
) -> Figure:
    """The subjects named worst, a row each: test images, and what each wrong one was called."""
    found = worst_subjects(scores, count)
    predicted = predictions.predicted(experiment)
    drawn, axes = figure(1.15 * width, 1.35 * max(1, len(found)) + 0.2, max(1, len(found)), width)
    for axis in axes.flat:
        blank(axis)
    for row, subject in enumerate(found):
        positions = (predictions.labels == subject).nonzero()[0]
        # Wrong answers first: they are what the picture is about.
        positions = sorted(positions, key=lambda index: int(predicted[index] == subject))
        for column, index in enumerate(positions[:width]):
            right = predicted[index] == subject
            caption = "right" if right else short(predictions.subjects[predicted[index]])
            image = faces.images[int(predictions.rows[index])]
            face(axes[row, column], image, caption, GREEN if right else ORANGE)
        label = f"{short(predictions.subjects[subject])}\n{scores[subject].recall:.0%} right"
        axes[row, 0].set_ylabel(label, fontsize=8, rotation=0, ha="right", va="center")
    if not found:
        axes[0, 0].text(0, 0.5, "every test image was named right", color=MUTED)
    return drawn


def short(name: str, length: int = 16) -> str:
    """A subject's name, cut to fit a label."""
    return name if len(name) <= length else f"{name[: length - 1]}…"
