"""The charts of the report."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import TYPE_CHECKING, Any

from src.evaluation import published
from src.evaluation.figures import confusion_figure, draw_confusion
from src.evaluation.metrics import confusion
from src.evaluation.predictions import Predictions
from src.models.backbones import BACKBONES
from src.plotting import (
    BLUE,
    GREEN,
    GRID,
    INK,
    MUTED,
    ORANGE,
    PURPLE,
    figure,
    rows_of_accuracies,
    styled,
)
from src.report import alternatives, words
from src.report.comparison import Comparison
from src.report.curves import LearningCurve, progress
from src.report.inputs import ReportInputs
from src.report.layers import convolutions, moved_layers

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PANELS = 5  # charts side by side
LEGEND_INCHES = 2.2  # width of the longest entry
COLOURS = (BLUE, ORANGE, GREEN, PURPLE, INK, MUTED)
MARKERS = ("o", "s", "D", "^", "v")  # with six colours, thirty different lines
PUBLISHED = "published test (other dataset)"
Entry = tuple[str, dict[str, Any]]  # of a legend: label and look


@dataclass(frozen=True)
class Chart:
    """A figure with its alternative text."""

    figure: Figure
    alt: str


def draw_charts(inputs: ReportInputs, comparison: Comparison) -> dict[str, Chart]:
    """All charts of the report by name, which is also their file's."""
    best, predictions, model = comparison.best.name, inputs.predictions, inputs.params.model
    blocks = convolutions(BACKBONES[model.backbone], model.stem)
    layers = {layer for part in blocks.values() for layer in part}
    changes = moved_layers(inputs.weight_changes, layers, comparison.reference.name)
    curves = curves_chart(inputs.curves, {} if inputs.params.study else published.curves())
    return {
        "accuracy": Chart(accuracy_chart(comparison), alternatives.accuracy(comparison)),
        "time": Chart(time_chart(comparison), alternatives.time(comparison)),
        "curves": Chart(curves, alternatives.curves(inputs.curves)),
        "weight_change": Chart(weight_change_chart(changes, blocks), alternatives.changes(changes)),
        "confusion": Chart(confusion_figure(predictions, best), f"Confusion matrix of {best}"),
        "confusions": Chart(confusions_chart(predictions), alternatives.confusions(predictions)),
    }


@styled
def accuracy_chart(comparison: Comparison) -> Figure:
    """A row per experiment: test accuracy with 95% interval, validation and published accuracy."""
    rows = comparison.rows
    drawn, axes = figure(11, 0.42 * len(rows) + 1.1)
    axis = axes[0, 0]
    axis.axvline(100 * comparison.chance, color=MUTED, linewidth=0.9, linestyle=":")
    axis.axvline(
        100 * comparison.reference.test.accuracy, color=MUTED, linewidth=0.9, linestyle="--"
    )
    for place, row in enumerate(rows):
        low, high, value = (
            100 * share
            for share in (row.test.accuracy_low, row.test.accuracy_high, row.test.accuracy)
        )
        axis.plot([low, high], [place, place], color=BLUE, linewidth=2.2, solid_capstyle="butt")
        axis.plot(value, place, "o", color=BLUE, markersize=7)
        axis.plot(100 * row.trained.val.value, place, "|", color=INK, markersize=12, mew=1.6)
        if row.published:
            axis.plot(
                100 * row.published, place, "D", color=ORANGE, markersize=5,
                markerfacecolor="none",
            )  # fmt: skip
        axis.text(104, place, f"{value:.1f}", va="center", color=INK, fontsize=9)
    rows_of_accuracies(axis, [row.name for row in rows], "accuracy, %")
    marks: list[Entry] = [
        ("test, with 95% interval", {"color": BLUE, "marker": "o", "linewidth": 2.2}),
        (
            words.validation(comparison),
            {"color": INK, "marker": "|", "linestyle": "", "markersize": 11},
        ),
    ]
    if comparison.published:
        look = {"color": ORANGE, "marker": "D", "linestyle": "", "markerfacecolor": "none"}
        marks.append((PUBLISHED, look))
    marks += [
        (f"{comparison.reference.name}, test", {"color": MUTED, "linestyle": "--"}),
        ("chance", {"color": MUTED, "linestyle": ":"}),
    ]
    _legend(drawn, marks)
    return drawn


@styled
def time_chart(comparison: Comparison) -> Figure:
    """Test accuracy against training time, with the Pareto front as a line."""
    from matplotlib.ticker import LogLocator, NullLocator

    drawn, axes = figure(8, max(3.6, 0.22 * len(comparison.rows)))
    axis = axes[0, 0]
    front = comparison.front
    axis.plot(
        [row.trained.seconds for row in front], _percent([row.test.accuracy for row in front]),
        color=BLUE, linewidth=1.2, drawstyle="steps-post",
    )  # fmt: skip
    # Names stand in a column, each with a line to its point: beside the points they would overlap,
    # since heads alike in time and accuracy lie on one another.
    ranked = sorted(comparison.rows, key=lambda row: row.test.accuracy, reverse=True)
    for place, row in enumerate(ranked):
        at = row.trained.seconds, 100 * row.test.accuracy
        colour = BLUE if row in front else MUTED
        axis.plot(*at, "o", color=colour, markersize=6)
        axis.annotate(
            row.name, at, xytext=(1.03, 1 - (place + 0.5) / len(ranked)), va="center",
            textcoords="axes fraction", color=colour, fontsize=8,
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.5, "alpha": 0.5},
        )  # fmt: skip
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.xaxis.set_major_formatter("{x:g}")
    axis.xaxis.set_minor_locator(NullLocator())
    axis.margins(x=0.15, y=0.15)
    axis.set_xlabel("seconds of training, for each seed")
    axis.set_ylabel("test accuracy, %")
    axis.grid()
    axis.set_axisbelow(True)
    return drawn


@styled
def curves_chart(
    curves: Mapping[str, LearningCurve], references: Mapping[str, tuple[float, ...]]
) -> Figure:
    """Accuracy by epoch, one panel per experiment with all the others behind it in grey.

    Epochs differ widely between experiments, so the horizontal axis is the share of each one's
    own training.
    """
    drawn, panels = _panels(len(curves), height=2.1, margin=0.5)
    for axis, (name, curve) in zip(panels, curves.items(), strict=True):
        for other in curves.values():
            axis.plot(other.progress, _percent(other.val), color=GRID, linewidth=1)
        if name in references:
            axis.plot(
                progress(len(references[name])), _percent(references[name]), color=ORANGE,
                linewidth=1, linestyle=":",
            )  # fmt: skip
        axis.plot(curve.progress, _percent(curve.train), color=MUTED, linewidth=1.2, dashes=(3, 2))
        axis.plot(curve.progress, _percent(curve.val), color=BLUE, linewidth=1.7)
        best = curve.best_epoch - 1
        axis.plot(curve.progress[best], 100 * curve.val[best], "o", color=BLUE, markersize=5)
        axis.set_title(f"{name}\n{len(curve.val)} epochs", fontsize=8, color=INK, loc="left")
        axis.set_xlim(0, 102)
        axis.set_ylim(0, 102)
        axis.set_xticks([0, 50, 100])
        axis.set_yticks([0, 25, 50, 75, 100])
        axis.grid(axis="y")
        axis.label_outer()
    drawn.supxlabel("share of training done, %", fontsize=9, color=MUTED)
    drawn.supylabel("accuracy, %", fontsize=9, color=MUTED)
    lines: list[Entry] = [
        ("validation", {"color": BLUE, "linewidth": 1.7}),
        ("training", {"color": MUTED, "dashes": (3, 2)}),
        ("kept epoch", {"color": BLUE, "marker": "o", "linestyle": ""}),
    ]
    if curves.keys() & references.keys():
        lines.append((PUBLISHED, {"color": ORANGE, "linestyle": ":"}))
    if len(curves) > 1:
        lines.append(("the other experiments", {"color": GRID, "linewidth": 2}))
    _legend(drawn, lines)
    return drawn


@styled
def confusions_chart(predictions: Predictions) -> Figure:
    """The confusion matrices of all experiments, small."""
    names = tuple(predictions.logits)
    drawn, panels = _panels(len(names), height=2.4)
    for axis, name in zip(panels, names, strict=True):
        predicted = predictions.predicted(name)
        matrix = confusion(predictions.labels, predicted, len(predictions.subjects))
        draw_confusion(axis, matrix)
        right = predictions.correct(name)[0].mean()
        axis.set_title(f"{name}\n{right:.1%}", fontsize=8, color=INK, loc="left")
    return drawn


@styled
def weight_change_chart(
    changes: Mapping[str, Mapping[str, float]], blocks: Mapping[str, Sequence[str]]
) -> Figure:
    """L2 norm of each layer's weight change, on a logarithmic axis.

    changes: per experiment, layer to norm, above 0. blocks: block name to its layers, from the
    image to the head.
    """
    from matplotlib.ticker import LogLocator, NullLocator

    layers = [layer for part in blocks.values() for layer in part]
    place = {layer: index for index, layer in enumerate(layers)}
    drawn, axes = figure(11, 4.2)
    axis = axes[0, 0]
    edge = -0.5
    for number, (block, part) in enumerate(blocks.items()):
        if number % 2:
            axis.axvspan(edge, edge + len(part), color=GRID, alpha=0.35, linewidth=0)
        axis.annotate(
            block, (edge + len(part) / 2, 1.0), xycoords=("data", "axes fraction"), ha="center",
            xytext=(0, 4), textcoords="offset points", fontsize=8, color=INK,
            rotation=0 if len(blocks) <= 8 else 90,
        )  # fmt: skip
        edge += len(part)
    looks = zip(cycle(COLOURS), cycle(MARKERS), strict=False)
    for (name, change), (colour, marker) in zip(changes.items(), looks, strict=False):
        moved = sorted((place[layer], norm) for layer, norm in change.items() if norm > 0)
        axis.plot(
            [at for at, _ in moved], [norm for _, norm in moved], color=colour, marker=marker,
            markersize=5, linewidth=0.9, label=name,
        )  # fmt: skip
    if changes:  # no logarithmic axis without a positive number
        axis.set_yscale("log")
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.yaxis.set_major_formatter("{x:g}")
        axis.yaxis.set_minor_locator(NullLocator())
    else:
        axis.set_yticks([0])
    axis.set_xlim(-0.5, len(layers) - 0.5)
    axis.set_xticks(range(len(layers)), layers, rotation=90, fontsize=7)
    axis.set_ylabel("L2 norm of the change")
    axis.grid(axis="y")
    axis.set_axisbelow(True)
    if changes:
        drawn.legend(loc="outside upper center", ncols=6, frameon=False, fontsize=8)
    return drawn


def _panels(count: int, height: float, margin: float = 0.0) -> tuple[Figure, Sequence[Any]]:
    """A figure with one pair of axes for each experiment, in rows of PANELS."""
    columns = min(PANELS, count)
    rows = math.ceil(count / columns)
    drawn, axes = figure(2.2 * columns, height * rows + margin, rows, columns)
    for axis in axes.flat[count:]:
        axis.set_visible(False)
    return drawn, axes.flat[:count]


def _percent(shares: Sequence[float]) -> list[float]:
    return [100 * share for share in shares]


def _legend(drawn: Any, entries: Sequence[Entry]) -> None:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], label=label, **look) for label, look in entries]
    beside = max(1, int(drawn.get_figwidth() // LEGEND_INCHES))
    drawn.legend(
        handles=handles, loc="outside upper center", ncols=beside, frameon=False, fontsize=8
    )
