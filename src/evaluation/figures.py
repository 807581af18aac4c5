"""Figures of one experiment: confusion, mistakes, worst subjects, curves, reliability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from src.data.faceset import FaceSet
from src.evaluation.calibration import bins, ece, log_softmax
from src.evaluation.metrics import SubjectScore, confusion
from src.evaluation.mistakes import Mistake, worst_subjects
from src.evaluation.predictions import Predictions
from src.plotting import BLUE, GREEN, INK, MUTED, ORANGE, Tile, figure, gallery, shades, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

NAMED = 40  # subjects at most, for their names to be legible beside a confusion matrix
COUNTED = 25  # subjects at most, for a cell to have room for its count
WORST = 6  # subjects at most, with the lowest recall
IMAGES_PER_SUBJECT = 10
LONGEST = 16  # characters of a name in a label
STRONGEST = 0.7  # opacity on which INK has a contrast of 5, in light and in dark


def draw_confusion(axis: Any, matrix: NDArray[Any], strongest: float = 1.0) -> None:
    """Draw a confusion matrix: rows are actual subjects, columns predicted ones.

    Cells are shaded by their share of the row, correct answers in blue and mistakes in orange,
    so that even a few mistakes stand out. `strongest` is the opacity of a whole row.
    """
    import numpy as np

    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    right = np.eye(len(matrix), dtype=bool)
    for cells, colour in ((right, BLUE), (~right, ORANGE)):
        axis.imshow(
            np.where(cells, shares, 0.0), cmap=shades(colour), vmin=0, vmax=1 / strongest,
            interpolation="nearest",
        )  # fmt: skip
    axis.spines[:].set_visible(True)
    axis.set_xticks([])
    axis.set_yticks([])


@styled
def confusion_figure(predictions: Predictions, experiment: str) -> Figure:
    """The confusion matrix of one experiment, with names and counts where they fit."""
    subjects = predictions.subjects
    matrix = confusion(predictions.labels, predictions.predicted(experiment), len(subjects))
    side = min(10.0, max(4.5, 0.32 * len(subjects) + 1.5))
    drawn, axes = figure(side + 0.5, side)
    axis = axes[0, 0]
    counted = len(subjects) <= COUNTED
    draw_confusion(axis, matrix, STRONGEST if counted else 1.0)
    axis.set_xlabel("predicted subject")
    axis.set_ylabel("actual subject")
    if len(subjects) <= NAMED:
        names = [short(subject) for subject in subjects]
        axis.set_xticks(range(len(subjects)), names, rotation=90, fontsize=7)
        axis.set_yticks(range(len(subjects)), names, fontsize=7)
    if counted:
        for row, column in zip(*matrix.nonzero(), strict=True):
            axis.text(
                column, row, str(matrix[row, column]), ha="center", va="center", fontsize=7,
                color=INK,
            )  # fmt: skip
    return drawn


def mistakes_figure(
    faces: FaceSet, mistakes: tuple[Mistake, ...], subjects: tuple[str, ...]
) -> Figure:
    """Each wrong answer as a pair: the test image, and the predicted subject's most similar one."""
    tiles = [tile for mistake in mistakes for tile in _pair(faces, mistake, subjects)]
    rows = [tiles[start : start + 6] for start in range(0, len(tiles), 6)]
    return gallery(rows or [[Tile(None, "every test image was identified correctly", MUTED)]])


def _pair(faces: FaceSet, mistake: Mistake, subjects: tuple[str, ...]) -> tuple[Tile, Tile]:
    alike = None if mistake.lookalike is None else faces.images[mistake.lookalike]
    return (
        Tile(faces.images[mistake.row], short(subjects[mistake.actual])),
        Tile(alike, f"{short(subjects[mistake.predicted])}, {mistake.probability:.0%}", ORANGE),
    )


def worst_subjects_figure(
    faces: FaceSet,
    predictions: Predictions,
    experiment: str,
    scores: tuple[SubjectScore, ...],
) -> Figure:
    """The subjects with the lowest recall, a row each: test images and the wrong answers."""
    predicted, subjects = predictions.predicted(experiment), predictions.subjects
    rows, labels = [], []
    for subject in worst_subjects(scores, WORST):
        tiles = [
            Tile(
                faces.images[int(predictions.rows[index])],
                "right" if predicted[index] == subject else short(subjects[predicted[index]]),
                GREEN if predicted[index] == subject else ORANGE,
            )
            for index in predictions.of_subject(experiment, subject)[:IMAGES_PER_SUBJECT]
        ]
        rows.append(tiles)
        labels.append(f"{short(subjects[subject])}\n{scores[subject].recall:.0%} right")
    return gallery(
        rows or [[Tile(None, "every test image was identified correctly", MUTED)]], labels
    )


@styled
def curves_figure(experiment: str, epochs: Sequence[Mapping[str, str]]) -> Figure:
    """Accuracy and loss by epoch, from the rows of an experiment's plots/curves file."""
    from matplotlib.ticker import MaxNLocator

    drawn, axes = figure(9, 3.4, columns=2)
    numbers = [int(epoch["epoch"]) for epoch in epochs]
    marker = "o" if len(epochs) < 20 else ""
    for axis, what in zip(axes[0], ("accuracy", "loss"), strict=True):
        for images, column, colour in (("training", "train", BLUE), ("validation", "val", ORANGE)):
            values = [float(epoch[f"{column}_{what}"]) for epoch in epochs]
            axis.plot(numbers, values, color=colour, marker=marker, label=images)
        axis.set(title=f"{experiment}: {what}", xlabel="epoch")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.legend(frameon=False)
    axes[0][0].set_ylim(0, 1.02)
    return drawn


@styled
def reliability_figure(predictions: Predictions, experiment: str) -> Figure:
    """Share right against probability, by bins, before and after calibration (kept model).

    Dots are as large as their share of the images; on the diagonal, probabilities are right.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(4, 4))
    FigureCanvasAgg(drawn)
    # Laid out by hand: 0.12 s in all, where the figure of the curves takes 0.4 s.
    axis = drawn.add_axes((0.14, 0.12, 0.83, 0.83))
    logits, labels = predictions.logits[experiment][0], predictions.labels
    axis.plot([0, 1], [0, 1], color=MUTED, linewidth=0.9, linestyle=":")
    cases = (
        ("before", 1.0, MUTED),
        ("after, T = {:.3g}", predictions.temperature(experiment), BLUE),
    )
    for label, temperature, colour in cases:
        logarithms = log_softmax(logits / temperature)
        found = bins(logarithms, labels)
        filled = found.counts > 0
        points = found.confidence[filled], found.accuracy[filled]
        axis.plot(*points, color=colour, linewidth=0.9)
        sizes = 8 + 200 * found.counts[filled] / len(labels)
        axis.scatter(*points, s=sizes, color=colour, alpha=0.7)
        said = f"{label.format(temperature)}: ECE {ece(logarithms, labels):.3f}"
        axis.plot([], [], color=colour, marker="o", label=said)
    axis.set(xlabel="probability of the answer", ylabel="share of answers that are right")
    axis.set(xlim=(0, 1.02), ylim=(0, 1.02))
    axis.legend(frameon=False, loc="lower right")
    return drawn


def short(name: str) -> str:
    """A subject's name, cut to fit a label."""
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"
