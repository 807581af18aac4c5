"""A study as figures: its history, the importance of parameters, and where good values lie.

Importances and parallel coordinates are Optuna's own figures. History and slices are drawn here,
since Optuna's leave out pruned trials: in a study of 50 trials under successive halving, 40.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from itertools import accumulate
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optuna import Study
from optuna.importance import PedAnovaImportanceEvaluator
from optuna.trial import FrozenTrial, TrialState

from src.files import atomic
from src.plotting import BLUE, MUTED, ORANGE, figure, save_png, styled
from src.tune.study import complete_trials, finished_trials

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MIN_TRIALS = 8  # complete trials that an estimate of importance needs
ACCURACY = "validation accuracy"
FIGURES = ("history.png", "importances.png", "parallel.png", "slices.png")
STATES = {TrialState.PRUNED: ("pruned", MUTED, 0.5), TrialState.COMPLETE: ("complete", BLUE, 1.0)}


def write_figures(study: Study, folder: Path) -> list[Path]:
    """Write history, importances, parallel coordinates and slices as PNG files to `folder`.

    Importances are left out where too few trials are complete to estimate them from, and so are
    parallel coordinates and slices where the space fixes every parameter. Returns the files.
    """
    trials = finished_trials(study)
    names = sorted({name for trial in trials for name in trial.params})
    files = [folder / "history.png"]
    save_png(history(trials), files[-1])
    if shared := _shared_params(complete_trials(study)):
        files.append(folder / "importances.png")
        save_importances(study, shared, files[-1])
    if names:
        files += [folder / "parallel.png", folder / "slices.png"]
        save_parallel_coordinates(study, files[-2])
        save_png(slices(trials, names), files[-1])
    return files


def remove_figures(folder: Path, kept: Sequence[Path]) -> None:
    """Delete those of an earlier study that `write_figures` left out of this one's."""
    for path in {folder / name for name in FIGURES}.difference(kept):
        path.unlink(missing_ok=True)


def _shared_params(complete: Sequence[FrozenTrial]) -> list[str]:
    """The parameters that all trials have; none where their importance cannot be estimated."""
    if len(complete) < MIN_TRIALS or len({trial.value for trial in complete}) == 1:
        return []
    return sorted(set.intersection(*({*trial.params} for trial in complete)))


def save_importances(study: Study, params: list[str], path: Path) -> None:
    """Importance of `params` by PED-ANOVA (Watanabe et al., 2023)."""
    from optuna.visualization.matplotlib import plot_param_importances

    evaluator = PedAnovaImportanceEvaluator()
    plot = partial(plot_param_importances, study, evaluator=evaluator, params=params)
    _save_optuna_figure(plot, (7, 4), path)


def save_parallel_coordinates(study: Study, path: Path) -> None:
    """A line per complete trial through its parameters, the darker the more accurate."""
    from optuna.visualization.matplotlib import plot_parallel_coordinate

    _save_optuna_figure(partial(plot_parallel_coordinate, study), (13, 4.5), path)


def _save_optuna_figure(plot: Callable[..., Any], size: tuple[float, float], path: Path) -> None:
    """Save in `size` inches: in Optuna's own, the labels of parallel coordinates overlap."""
    from matplotlib import pyplot, rc_context

    with rc_context(), warnings.catch_warnings(), atomic(path) as temporary:
        warnings.filterwarnings("ignore", message="Attempting to set identical low and high")
        drawn = plot(target_name=ACCURACY).figure
        drawn.set_size_inches(size)
        for axis in drawn.axes:
            axis.grid(visible=False)
        drawn.savefig(temporary, format="png", dpi=144, bbox_inches="tight")
        pyplot.close(drawn)


@styled
def history(trials: Sequence[FrozenTrial]) -> Figure:
    """Validation accuracy of each trial, and the best complete one so far.

    A pruned trial is shown at the accuracy that it had reached.
    """
    drawn, axes = figure(7, 3.4)
    axis = axes[0, 0]
    _scatter(axis, trials, lambda trial: trial.number)
    best = accumulate((t.value if t.state == TrialState.COMPLETE else -inf for t in trials), max)
    steps = [
        (trial.number, value) for trial, value in zip(trials, best, strict=True) if value > -inf
    ]
    axis.step(*zip(*steps, strict=True), where="post", color=ORANGE, label="best so far")
    axis.set(xlabel="trial", ylabel=ACCURACY)
    axis.grid(axis="y")
    axis.legend(frameon=False)
    return drawn


@styled
def slices(trials: Sequence[FrozenTrial], names: Sequence[str]) -> Figure:
    """Validation accuracy against each parameter by itself."""
    columns = min(len(names), 4)
    rows = -(-len(names) // columns)
    drawn, axes = figure(2.4 * columns, 2.2 * rows, rows, columns)
    for axis in axes.flat[len(names) :]:
        axis.set_visible(False)
    for axis, name in zip(axes.flat, names, strict=False):
        having = [trial for trial in trials if name in trial.params]
        _scatter(axis, having, lambda trial, name=name: trial.params[name])
        if getattr(having[0].distributions[name], "log", False):
            axis.set_xscale("log")
            axis.minorticks_off()
            axis.xaxis.set_major_formatter("{x:g}")
        axis.set(xlabel=name)
        axis.grid(axis="y")
    for axis in axes[:, 0]:
        axis.set_ylabel(ACCURACY)
    return drawn


def _scatter(axis: Any, trials: Sequence[FrozenTrial], x: Callable[..., float]) -> None:
    """Each trial's accuracy over `x` of it, coloured by its state."""
    for state, (label, colour, alpha) in STATES.items():
        shown = [trial for trial in trials if trial.state == state]
        values = [trial.value for trial in shown]
        axis.scatter([x(t) for t in shown], values, s=12, color=colour, alpha=alpha, label=label)
