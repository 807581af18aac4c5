"""The search: ask for a wave of trials, train them as one batched problem, tell what came out."""

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

from src.training.heads import HeadResult, train_heads
from src.training.result import Epoch
from src.tune.heartbeat import Heartbeats
from src.tune.interrupt import held
from src.tune.problem import Problem
from src.tune.sampling import rungs
from src.tune.space import TrialParams, suggest, trial_params
from src.tune.storage import WORKER, Orphans, release
from src.tune.study import PUBLISHED, finished, started

HISTORY, BEST_EPOCH, VAL_LOSS, SAME_AS = "history", "best_epoch", "val_loss", "same_as"
IDLE = 0.3  # seconds between looks at a study whose last trials others run


@dataclass(frozen=True)
class OpenTrial:
    """A trial that this process runs."""

    trial: Trial
    candidate: TrialParams


@dataclass
class Search:
    """One worker's part in a study. `deadline` is a time.monotonic() after which no wave starts.

    `on_change` is called after every epoch of a head and after every wave, and may raise
    KeyboardInterrupt to stop.
    """

    study: Study
    problem: Problem
    orphans: Orphans
    heartbeats: Heartbeats
    deadline: float = float("inf")
    on_change: Callable[[], None] = lambda: None
    on_wave: Callable[[], None] = lambda: None
    _open: dict[int, Trial] = field(default_factory=dict)
    _stop_if_asked: Callable[[], None] = lambda: None

    def run(self) -> None:
        """Until the study has its trials, or the time is up; open trials are given back if stopped.

        A trial that fails raises what it failed of, and the trials of its wave end as failed.
        """
        try:
            with held() as self._stop_if_asked:
                self._search()
        except KeyboardInterrupt:
            for trial in list(self._open.values()):
                self._give_back(trial)
            raise
        except BaseException:
            for trial in list(self._open.values()):
                self._tell(trial, state=TrialState.FAIL)
            raise

    def _search(self) -> None:
        while len(finished(self.study)) < self.total and time.monotonic() < self.deadline:
            self.orphans.requeue(own=frozenset(self._open))
            wave = self._ask()
            if wave:
                self._train(wave)
                self.on_wave()
            else:
                time.sleep(IDLE)
            self._stop_if_asked()
            self.on_change()

    @property
    def total(self) -> int:
        """The study's trials in all, this process's and others'."""
        return self.problem.params.tune.trials

    def _ask(self) -> list[OpenTrial]:
        """Up to a wave of trials, each claimed by this process alone."""
        wave: list[OpenTrial] = []
        while len(wave) < self.problem.params.tune.wave and len(started(self.study)) < self.total:
            trial = self.study.ask()
            self.heartbeats.add(trial)
            self._open[trial.number] = trial
            trial.set_user_attr(WORKER, f"{socket.gethostname()}:{os.getpid()}")
            if len(started(self.study)) > self.total:  # another process claimed the last one too
                self._give_back(trial)
                time.sleep(IDLE * (1 + os.getpid() % 7) / 7)
                break
            wave.append(OpenTrial(trial, suggest(trial, self.problem.params.tune.space)))
        return wave

    def _train(self, wave: list[OpenTrial]) -> None:
        known = self._known()
        first = {entry.candidate: entry for entry in reversed(wave) if entry.candidate not in known}
        new = [entry for entry in wave if first.get(entry.candidate) is entry]
        for entry, head, pruned in self._fit(new):
            self._finish(entry, head, pruned)
        known = self._known()
        for entry in wave:
            if entry.trial.number not in self._open:
                continue
            if entry.candidate in known:
                self._answer(entry, known[entry.candidate])
            else:  # its twin was lost to another worker, as in _prunes
                self._give_back(entry.trial)

    def _fit(self, entries: list[OpenTrial]) -> list[tuple[OpenTrial, HeadResult, bool]]:
        """Train heads together; the share of the batch of one that is pruned goes to the rest."""
        reported = rungs(self.problem.params.tune)
        latest = self.problem.recipe.select == "last"
        merits, pruned = [0.0] * len(entries), [False] * len(entries)

        def on_epoch(slot: int, epoch: Epoch) -> bool:
            self._stop_if_asked()
            self.on_change()
            merits[slot] = epoch.val_accuracy if latest else max(merits[slot], epoch.val_accuracy)
            if epoch.number in reported:
                pruned[slot] = self._prunes(entries[slot].trial, epoch.number, merits[slot])
            return not pruned[slot]

        tasks = [self.problem.task(entry.candidate) for entry in entries]
        fitted = train_heads(tasks, self.problem.features, self.problem.classes, on_epoch)
        return list(zip(entries, fitted, pruned, strict=True))

    def _prunes(self, trial: Trial, step: int, merit: float) -> bool:
        """Report, and ask; a published head is the yardstick, and trained to its end."""
        try:
            trial.report(merit, step)
            return trial.should_prune() and PUBLISHED not in trial.user_attrs
        except UpdateFinishedTrialError:  # taken for dead by another worker, which runs it now
            return True

    def _known(self) -> dict[TrialParams, FrozenTrial]:
        """What finished trials have found, the first of each candidate."""
        space = self.problem.params.tune.space
        return {trial_params(trial.params, space): trial for trial in finished(self.study)[::-1]}

    def _finish(self, entry: OpenTrial, head: HeadResult, pruned: bool) -> None:
        result = {
            HISTORY: columns(head.history),
            BEST_EPOCH: head.chosen.number,
            VAL_LOSS: head.chosen.val_loss,
        }
        if pruned:
            self._tell(entry.trial, result, state=TrialState.PRUNED)
        else:
            self._tell(entry.trial, result, head.chosen.val_accuracy)

    def _answer(self, entry: OpenTrial, known: FrozenTrial) -> None:
        """Tell a duplicate what is known of its candidate."""
        result = {key: known.user_attrs[key] for key in (HISTORY, BEST_EPOCH, VAL_LOSS)}
        result[SAME_AS] = known.user_attrs.get(SAME_AS, known.number)
        for step, value in known.intermediate_values.items():
            entry.trial.report(value, step)
        if known.state == TrialState.PRUNED:
            self._tell(entry.trial, result, state=TrialState.PRUNED)
        else:
            self._tell(entry.trial, result, known.value)

    def _tell(
        self,
        trial: Trial,
        result: dict[str, Any] | None = None,
        value: float | None = None,
        state: TrialState | None = None,
    ) -> None:
        with suppress(UpdateFinishedTrialError):  # as in _prunes
            for key, found in (result or {}).items():
                trial.set_user_attr(key, found)
        self.study.tell(trial, value, state, skip_if_finished=True)
        self._close(trial)

    def _give_back(self, trial: Trial) -> None:
        with suppress(UpdateFinishedTrialError):  # as in _prunes
            release(self.study, trial)
        self._close(trial)

    def _close(self, trial: Trial) -> None:
        self.heartbeats.remove(trial)
        del self._open[trial.number]


def columns(history: tuple[Epoch, ...]) -> dict[str, list[float]]:
    """A history as lists by the names of Epoch's fields, in six digits."""
    rows = [asdict(epoch) for epoch in history]
    return {key: [float(f"{row[key]:.6g}") for row in rows] for key in rows[0] if key != "number"}


def history_of(trial: FrozenTrial) -> tuple[Epoch, ...]:
    """The epochs of a finished trial, from the storage."""
    stored: dict[str, list[float]] = trial.user_attrs.get(HISTORY, {})
    rows = zip(*stored.values(), strict=True)
    return tuple(
        Epoch(number, **dict(zip(stored, row, strict=True))) for number, row in enumerate(rows, 1)
    )
