"""The search: ask for a wave of trials, train their heads as one batch, tell the results."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any

from optuna import Study, Trial
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from src.training.heads import DivergedHead, HeadResult, try_heads
from src.training.result import Epoch
from src.tune.heartbeat import Heartbeats
from src.tune.interrupt import deferred_interrupts
from src.tune.objective import Objective
from src.tune.sampling import rungs
from src.tune.space import TrialParams, suggest
from src.tune.storage import LOST, WORKER, StaleTrials, at_once, return_to_queue
from src.tune.study import PUBLISHED, finished_trials, started_trials

HISTORY, BEST_EPOCH, VAL_LOSS, SAME_AS = "history", "best_epoch", "val_loss", "same_as"
DIVERGED = "diverged"  # user attribute of a trial whose loss was not finite: where, and why
IDLE = 0.3  # seconds between polls of a study whose last trials other processes run


@dataclass(frozen=True)
class RunningTrial:
    """A trial that this process runs, and the parameters suggested for it."""

    trial: Trial
    params: TrialParams


@dataclass
class Search:
    """One worker's part in a study.

    No wave starts after `deadline`, a time of `time.monotonic()`. `on_change` is called after every
    epoch of a head and after every wave, and may raise KeyboardInterrupt to stop the search;
    `on_wave` is called after every wave.
    """

    study: Study
    objective: Objective
    stale_trials: StaleTrials
    heartbeats: Heartbeats
    deadline: float = float("inf")
    on_change: Callable[[], None] = lambda: None
    on_wave: Callable[[], None] = lambda: None
    _running: dict[int, Trial] = field(default_factory=dict)
    _check_interrupt: Callable[[], None] = lambda: None

    def run(self) -> None:
        """Run waves until the study has its trials or the deadline has passed.

        On KeyboardInterrupt the running trials return to the queue; on any other exception, which
        is raised again, they are told as failed, unless it is that the storage is lost.
        """
        try:
            with deferred_interrupts() as self._check_interrupt:
                self._search()
        except KeyboardInterrupt:
            for trial in list(self._running.values()):
                self._return_to_queue(trial)
            raise
        except LOST:
            raise
        except BaseException:
            for trial in list(self._running.values()):
                self._tell(trial, state=TrialState.FAIL)
            raise

    def _search(self) -> None:
        while len(finished_trials(self.study)) < self.total and time.monotonic() < self.deadline:
            self.stale_trials.requeue(own=frozenset(self._running))
            wave = self._ask()
            if wave:
                self._run_wave(wave)
                self.on_wave()
            else:
                time.sleep(IDLE)
            self._check_interrupt()
            self.on_change()

    @property
    def total(self) -> int:
        """The number of trials that the study shall have, those of all processes together."""
        return self.objective.params.tune.trials

    def _ask(self) -> list[RunningTrial]:
        """Ask for up to a wave of trials, which no other process runs."""
        wave: list[RunningTrial] = []
        size = self.objective.params.tune.wave
        while len(wave) < size and self._started() < self.total:
            trial = self.study.ask()
            self.heartbeats.add(trial)
            self._running[trial.number] = trial
            try:
                trial.set_user_attr(WORKER, f"{socket.gethostname()}:{os.getpid()}")
                if self._started() > self.total:  # another process asked for the last one too
                    self._return_to_queue(trial)
                    time.sleep(IDLE * (1 + os.getpid() % 7) / 7)
                    break
                wave.append(RunningTrial(trial, suggest(trial, self.objective.params.tune.space)))
            except UpdateFinishedTrialError:  # as in _should_prune
                self._forget(trial)
        return wave

    def _started(self) -> int:
        return len(started_trials(self.study))

    def _run_wave(self, wave: list[RunningTrial]) -> None:
        known = self._finished_by_params()  # a point that has been tried is not trained again
        first = {entry.params: entry for entry in reversed(wave) if entry.params not in known}
        new = [entry for entry in wave if first.get(entry.params) is entry]
        heads = self._train_heads(new)
        # A wave that was told in part would be filled up with trials that know of that part.
        with at_once(self.study):
            for entry, head, pruned in heads:
                self._tell_result(entry, head, pruned)
            self._tell_duplicates(wave)

    def _tell_duplicates(self, wave: list[RunningTrial]) -> None:
        known = self._finished_by_params()
        for entry in wave:
            if entry.trial.number not in self._running:
                continue
            if entry.params in known:
                self._copy_result(entry, known[entry.params])
            else:  # another worker took over the trial it duplicates, as in _should_prune
                self._return_to_queue(entry.trial)

    def _train_heads(
        self, entries: list[RunningTrial]
    ) -> list[tuple[RunningTrial, HeadResult | DivergedHead, bool]]:
        """Train heads as one batch, which shrinks as heads are pruned; the bool says which were."""
        reported = rungs(self.objective.params.tune)
        latest = self.objective.recipe.select == "last"
        reached, pruned = [0.0] * len(entries), [False] * len(entries)

        def on_epoch(slot: int, epoch: Epoch) -> bool:
            self._check_interrupt()
            self.on_change()
            reached[slot] = epoch.val_accuracy if latest else max(reached[slot], epoch.val_accuracy)
            if epoch.number in reported:
                pruned[slot] = self._should_prune(entries[slot].trial, epoch.number, reached[slot])
            return not pruned[slot]

        tasks = [self.objective.task(entry.params) for entry in entries]
        heads = try_heads(tasks, self.objective.features, self.objective.classes, on_epoch)
        return list(zip(entries, heads, pruned, strict=True))

    def _should_prune(self, trial: Trial, step: int, accuracy: float) -> bool:
        """Report to the pruner and ask it; a published head, as the yardstick, is never pruned."""
        try:
            trial.report(accuracy, step)
            return trial.should_prune() and PUBLISHED not in trial.user_attrs
        except UpdateFinishedTrialError:  # another worker took this process for dead
            return True

    def _finished_by_params(self) -> dict[TrialParams, FrozenTrial]:
        """Finished trials by their parameters, the first of each."""
        space = self.objective.params.tune.space
        trials = reversed(finished_trials(self.study))
        return {TrialParams.of(trial.params, space): trial for trial in trials}

    def _tell_result(
        self, entry: RunningTrial, head: HeadResult | DivergedHead, pruned: bool
    ) -> None:
        """Tell what became of a head; one that diverged counts as pruned, not to be tried again."""
        if isinstance(head, DivergedHead):
            diverged = {DIVERGED: str(head.error)}
            self._tell(entry.trial, diverged, state=TrialState.PRUNED)
            return
        result = {
            HISTORY: columns(head.history),
            BEST_EPOCH: head.chosen.number,
            VAL_LOSS: head.chosen.val_loss,
        }
        if pruned:
            self._tell(entry.trial, result, state=TrialState.PRUNED)
        else:
            self._tell(entry.trial, result, head.chosen.val_accuracy)

    def _copy_result(self, entry: RunningTrial, original: FrozenTrial) -> None:
        """Tell a duplicate the result of the trial that had its parameters."""
        keys = (HISTORY, BEST_EPOCH, VAL_LOSS, DIVERGED)
        result = {key: original.user_attrs[key] for key in keys if key in original.user_attrs}
        result[SAME_AS] = original.user_attrs.get(SAME_AS, original.number)
        with suppress(UpdateFinishedTrialError):  # as in _should_prune
            for step, value in original.intermediate_values.items():
                entry.trial.report(value, step)
        if original.state == TrialState.PRUNED:
            self._tell(entry.trial, result, state=TrialState.PRUNED)
        else:
            self._tell(entry.trial, result, original.value)

    def _tell(
        self,
        trial: Trial,
        result: dict[str, Any] | None = None,
        value: float | None = None,
        state: TrialState | None = None,
    ) -> None:
        with suppress(UpdateFinishedTrialError):  # as in _should_prune
            for key, content in (result or {}).items():
                trial.set_user_attr(key, content)
            self.study.tell(trial, value, state, skip_if_finished=True)
        self._forget(trial)

    def _return_to_queue(self, trial: Trial) -> None:
        with suppress(UpdateFinishedTrialError):  # as in _should_prune
            return_to_queue(self.study, trial)
        self._forget(trial)

    def _forget(self, trial: Trial) -> None:
        self.heartbeats.remove(trial)
        del self._running[trial.number]


def columns(history: tuple[Epoch, ...]) -> dict[str, list[float]]:
    """A history as one list per field of Epoch, rounded to six significant digits."""
    rows = [asdict(epoch) for epoch in history]
    return {key: [float(f"{row[key]:.6g}") for row in rows] for key in rows[0] if key != "number"}


def history_of(trial: FrozenTrial) -> tuple[Epoch, ...]:
    """The epochs of a finished trial, from the storage."""
    stored: dict[str, list[float]] = trial.user_attrs.get(HISTORY, {})
    rows = zip(*stored.values(), strict=True)
    return tuple(
        Epoch(number, **dict(zip(stored, row, strict=True))) for number, row in enumerate(rows, 1)
    )
