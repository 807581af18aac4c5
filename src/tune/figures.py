"""A study as pictures: how it went, which parameters mattered, and where the good values lie.

Optuna's own pictures leave out pruned trials, most of a study here; these show them, faintly,
at what they had reached.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optuna import Study
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState

from src.plotting import BLUE, GRID, MUTED, ORANGE, figure, save_png, shades, styled
from src.tune.study import FINISHED

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FEWEST = 8  # complete trials that an estimate of importance needs
LOGARITHMIC = ("width", "learning_rate", "weight_decay")


@dataclass(frozen=True)
class Drawn:
    """A trial as it is drawn."""

    number: int
    accuracy: float
    complete: bool
    params: dict[str, Any]


def write_pictures(study: Study, folder: Path) -> list[Path]:
    """History, importances, parallel coordinates and slices, as PNG files in `folder`.

    Importances are left out where too few trials are complete to estimate them from.
    """
    trials = [_drawn(trial) for trial in study.get_trials(deepcopy=False, states=FINISHED)]
    names = sorted({name for trial in trials for name in trial.params})
    drawings = {"history": history(trials)}
    if weights := _importances(study):
        drawings["importances"] = importances(weights)
    if names:
        drawings["parallel"] = parallel(trials, names)
        drawings["slices"] = slices(trials, names)
    for name, drawing in drawings.items():
        save_png(drawing, folder / f"{name}.png")
    return [folder / f"{name}.png" for name in drawings]


def _drawn(trial: FrozenTrial) -> Drawn:
    complete = trial.state == TrialState.COMPLETE
    return Drawn(trial.number, trial.value or 0.0, complete, trial.params)


def _importances(study: Study) -> dict[str, float]:
    """By PED-ANOVA (Watanabe et al., 2023), of the parameters that every head has."""
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    shared = set.intersection(*({*trial.params} for trial in complete)) if complete else set()
    if len(complete) < FEWEST or len({trial.value for trial in complete}) == 1 or not shared:
        return {}
    found: dict[str, float] = get_param_importances(
        study, evaluator=PedAnovaImportanceEvaluator(), params=sorted(shared)
    )
    return found


@styled
def history(trials: Sequence[Drawn]) -> Figure:
    """Validation accuracy of each trial, and the best complete one so far."""
    drawn, axes = figure(7, 3.4)
    axis = axes[0, 0]
    for complete, colour, label in ((False, MUTED, "pruned, then"), (True, BLUE, "complete")):
        part = [trial for trial in trials if trial.complete == complete]
        axis.scatter(*_points(part), s=14, color=colour, alpha=0.5 + complete / 2, label=label)
    best = accumulate((t.accuracy if t.complete else 0.0 for t in trials), max)
    steps = [(trial.number, value) for trial, value in zip(trials, best, strict=True) if value]
    axis.step(*zip(*steps, strict=True), where="post", color=ORANGE, label="best so far")
    axis.set(xlabel="trial", ylabel="validation accuracy")
    axis.grid(axis="y")
    axis.legend(frameon=False)
    return drawn


def _points(trials: Sequence[Drawn]) -> tuple[list[int], list[float]]:
    return [trial.number for trial in trials], [trial.accuracy for trial in trials]


@styled
def importances(weights: dict[str, float]) -> Figure:
    """Bars, the most important parameter on top; they sum to one."""
    drawn, axes = figure(6, 0.6 + 0.35 * len(weights))
    axis = axes[0, 0]
    names = sorted(weights, key=lambda name: weights[name])
    bars = axis.barh(names, [weights[name] for name in names], color=BLUE, height=0.6)
    axis.bar_label(bars, fmt="%.2f", padding=3, color=MUTED)
    axis.set(xlabel="importance for validation accuracy", xlim=(0, 1.1 * max(weights.values())))
    return drawn


@styled
def parallel(trials: Sequence[Drawn], names: Sequence[str]) -> Figure:
    """A line per trial through its parameters, the darker the more accurate it was.

    Each axis runs from the lowest to the highest value tried; a head without a layer has a gap.
    """
    drawn, axes = figure(max(6.0, 1.15 * (len(names) + 1)), 4)
    axis, scales = axes[0, 0], [_Scale.of(name, trials) for name in names]
    top = max(trial.accuracy for trial in trials)
    bottom = min(trial.accuracy for trial in trials)
    colours = shades(BLUE)
    for trial in sorted(trials, key=lambda t: t.accuracy):
        share = (trial.accuracy - bottom) / (top - bottom or 1)
        heights = [scale.height(trial.params.get(scale.name)) for scale in scales]
        axis.plot([*heights, share], color=colours(0.1 + 0.9 * share**2), linewidth=0.6 + share)
    for place, scale in enumerate(scales):
        for height, text in ((-0.05, scale.low), (1.03, scale.high)):
            axis.text(place, height, f"{text:.3g}", ha="center", color=MUTED, fontsize=8)
    for height, value in ((-0.05, bottom), (1.03, top)):
        axis.text(len(names), height, f"{value:.1%}", ha="center", color=MUTED, fontsize=8)
    axis.set_xticks(range(len(names) + 1), [*names, "accuracy"], rotation=20, ha="right")
    axis.set(yticks=[], ylim=(-0.08, 1.1))
    axis.grid(axis="x", color=GRID)
    axis.spines[:].set_visible(False)
    return drawn


@styled
def slices(trials: Sequence[Drawn], names: Sequence[str]) -> Figure:
    """Validation accuracy against each parameter alone."""
    columns = min(len(names), 4)
    lines = -(-len(names) // columns)
    drawn, axes = figure(2.4 * columns, 2.2 * lines, lines, columns)
    for axis in axes.flat[len(names) :]:
        axis.set_visible(False)
    for axis, name in zip(axes.flat, names, strict=False):
        for complete, colour in ((False, MUTED), (True, BLUE)):
            part = [t for t in trials if t.complete == complete and name in t.params]
            axis.scatter(
                [trial.params[name] for trial in part],
                [trial.accuracy for trial in part],
                s=10,
                color=colour,
                alpha=0.5 + complete / 2,
            )
        if name.startswith(LOGARITHMIC):
            axis.set_xscale("log")
            axis.minorticks_off()
            axis.xaxis.set_major_formatter("{x:g}")
        axis.set(xlabel=name)
        axis.grid(axis="y")
    for axis in axes[:, 0]:
        axis.set_ylabel("validation accuracy")
    return drawn


@dataclass(frozen=True)
class _Scale:
    """An axis of the parallel coordinates."""

    name: str
    low: float
    high: float

    @classmethod
    def of(cls, name: str, trials: Sequence[Drawn]) -> _Scale:
        values = [trial.params[name] for trial in trials if name in trial.params]
        return cls(name, min(values), max(values))

    def height(self, value: float | None) -> float:
        """Where the value lies between low, 0, and high, 1; NaN where there is none."""
        if value is None:
            return math.nan
        if self.high == self.low:
            return 0.5
        if self.name.startswith(LOGARITHMIC):
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)
