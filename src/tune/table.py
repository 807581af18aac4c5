"""The live table on stderr while a study runs, and the closing table on stdout."""

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
from src.tune.space import TrialParams
from src.tune.study import PUBLISHED, finished_trials

BEST_ROWS = 6
REFRESH_INTERVAL = 0.5  # seconds


@dataclass
class LiveTable:
    """The live table, within a `with` block; shows nothing if stderr is not a terminal."""

    study: Study
    tune: Tune
    _console: Console = field(
        default_factory=lambda: Console(stderr=True, markup=False, emoji=False)
    )
    _started: float = field(default_factory=time.monotonic)
    _refreshed: float = 0.0
    _before: int = 0

    def __enter__(self) -> LiveTable:
        self._before = len(finished_trials(self.study))
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

    def refresh(self) -> None:
        """Show the current state of the study, at most every REFRESH_INTERVAL."""
        if not self._console.is_terminal or time.monotonic() - self._refreshed < REFRESH_INTERVAL:
            return
        self._refreshed = time.monotonic()
        self._live.update(self._render(), refresh=True)

    def _render(self) -> Group:
        trials = self.study.get_trials(deepcopy=False)
        running, pruned, complete = (
            sum(trial.state == state for trial in trials)
            for state in (TrialState.RUNNING, TrialState.PRUNED, TrialState.COMPLETE)
        )
        done = pruned + complete
        per_second = (done - self._before) / (self._refreshed - self._started)
        left = f"{(self.tune.trials - done) / per_second:.0f} s left" if per_second else ""
        summary = (
            f"{done} of {self.tune.trials} trials   {running} running   {pruned} pruned   "
            f"{per_second * 60:.0f} per minute   {left}"
        )
        bar = ProgressBar(total=self.tune.trials, completed=done)
        return Group(bar, summary, _best(trials, self.tune.space))


def _best(trials: list[FrozenTrial], space: Space) -> Table:
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    table = Table("trial", "validation", "head", box=None, padding=(0, 2, 0, 0))
    for trial in sorted(complete, key=lambda t: (-(t.value or 0.0), t.number))[:BEST_ROWS]:
        name = trial.user_attrs.get(PUBLISHED) or str(TrialParams.of(trial.params, space))
        table.add_row(str(trial.number), f"{trial.value:.1%}", name)
    return table


def print_closing(rows: list[TrialRow], diverged: list[str], retraining: Retraining) -> None:
    """Print the best head beside the published ones, and its accuracy with other seeds.

    `diverged` are the names of published heads that have no row.

    The intervals do not allow for the choice of the epoch, nor the first row's for the choice among
    all trials: both were made on the images that are counted.
    """
    console = Console(markup=False, emoji=False)
    table = Table("head", "trial", "validation", "95% interval", "settings", box=None)
    for row in rows:
        interval = f"{row.val.low:.1%} to {row.val.high:.1%}"
        table.add_row(row.name, str(row.number), f"{row.val.value:.1%}", interval, str(row.params))
    console.print(table)
    if diverged:
        console.print(f"The table lacks {', '.join(diverged)}, whose loss was not finite.")
    seeds = ", ".join(map(str, retraining.seeds))
    console.print(f"{rows[0].name} trained again with seeds {seeds}:")
    console.print(f"  validation {_spread(retraining.val)}")
    console.print(
        "Trial and epochs were chosen on the validation images, so these accuracies are optimistic."
    )


def _spread(accuracies: tuple[float, ...]) -> str:
    each = ", ".join(f"{accuracy:.1%}" for accuracy in accuracies)
    return f"{statistics.mean(accuracies):.1%} ({each})"
