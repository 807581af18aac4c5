"""What a study shows: a live table on stderr while it runs, and the closing one on stdout."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, field
from types import TracebackType

from optuna import Study
from optuna.trial import FrozenTrial, TrialState
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from src.config import Space, Tune
from src.tune.best import Retraining, TrialRow
from src.tune.space import trial_params
from src.tune.study import FINISHED, PUBLISHED

BEST_SHOWN = 6  # rows
EVERY = 0.5  # seconds between looks at the storage


@dataclass
class Watch:
    """The live table, within a `with` block; silent where stderr is no terminal."""

    study: Study
    tune: Tune
    _console: Console = field(
        default_factory=lambda: Console(stderr=True, markup=False, emoji=False)
    )
    _started: float = field(default_factory=time.monotonic)
    _looked: float = 0.0
    _before: int = 0

    def __enter__(self) -> Watch:
        self._before = len(self.study.get_trials(deepcopy=False, states=FINISHED))
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def look(self) -> None:
        """Show the study as it is now, unless that was done a moment ago."""
        if not self._console.is_terminal or time.monotonic() - self._looked < EVERY:
            return
        self._looked = time.monotonic()
        self._live.update(self._render(), refresh=True)

    def _render(self) -> Group:
        trials = self.study.get_trials(deepcopy=False)
        running, pruned, complete = (
            sum(trial.state == state for trial in trials)
            for state in (TrialState.RUNNING, TrialState.PRUNED, TrialState.COMPLETE)
        )
        done = pruned + complete
        per_second = (done - self._before) / (self._looked - self._started)
        left = f"{(self.tune.trials - done) / per_second:.0f} s left" if per_second else ""
        figures = (
            f"{done} of {self.tune.trials} trials   {running} running   {pruned} pruned   "
            f"{per_second * 60:.0f} per minute   {left}"
        )
        bar = ProgressBar(total=self.tune.trials, completed=done)
        return Group(bar, figures, _best(trials, self.tune.space))


def _best(trials: list[FrozenTrial], space: Space) -> Table:
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    table = Table("trial", "validation", "head", box=None, padding=(0, 2, 0, 0))
    for trial in sorted(complete, key=lambda t: (-(t.value or 0.0), t.number))[:BEST_SHOWN]:
        name = trial.user_attrs.get(PUBLISHED) or str(trial_params(trial.params, space))
        table.add_row(str(trial.number), f"{trial.value:.1%}", name)
    return table


def print_closing(rows: list[TrialRow], again: Retraining) -> None:
    """The best head beside the published ones, and what other seeds make of it.

    No interval allows for the choice of the epoch, nor that of the first row for the choice among
    all trials: both were made on the images that it counts.
    """
    console = Console(markup=False, emoji=False)
    table = Table("head", "trial", "validation", "95% interval", "what it is", box=None)
    for row in rows:
        interval = f"{row.val.low:.1%} to {row.val.high:.1%}"
        table.add_row(
            row.name, str(row.number), f"{row.val.value:.1%}", interval, str(row.candidate)
        )
    console.print(table)
    seeds = ", ".join(map(str, again.seeds))
    console.print(f"{rows[0].name} trained again with seeds {seeds}:")
    console.print(f"  validation {_spread(again.val)}")
    console.print(
        "Trial and epochs are chosen on the validation images, so all this is optimistic."
    )


def _spread(accuracies: tuple[float, ...]) -> str:
    each = ", ".join(f"{accuracy:.1%}" for accuracy in accuracies)
    return f"{statistics.mean(accuracies):.1%} ({each})"
