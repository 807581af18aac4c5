"""Heartbeats, which tell a shared storage that the worker of a trial is alive."""

from __future__ import annotations

from threading import Event, Thread
from types import TracebackType

from optuna import Study, Trial
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import RDBStorage

from src.tune.storage import LOST


class Heartbeats:
    """Records heartbeats of the trials added to it, within a `with` block.

    `interval` is in seconds; None, for a SQLite file, records none.
    """

    def __init__(self, study: Study, interval: int | None) -> None:
        self._storage, self._interval = study._storage, interval
        self._running: dict[int, int] = {}
        self._stop = Event()
        self._thread = Thread(target=self._beat, daemon=True, name="heartbeats")

    def __enter__(self) -> Heartbeats:
        if self._interval:
            self._thread.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        if self._interval:
            self._thread.join()

    def add(self, trial: Trial) -> None:
        """Record heartbeats for a trial from now on."""
        self._running[trial.number] = trial._trial_id
        self._record(trial._trial_id)

    def remove(self, trial: Trial) -> None:
        """Stop: the trial has finished, or waits again."""
        self._running.pop(trial.number, None)

    def _beat(self) -> None:
        while not self._stop.wait(self._interval):
            for trial_id in list(self._running.values()):
                self._record(trial_id)

    def _record(self, trial_id: int) -> None:
        storage = getattr(self._storage, "_backend", self._storage)
        if self._interval and isinstance(storage, RDBStorage):
            try:
                storage.record_heartbeat(trial_id)
            except (UpdateFinishedTrialError, *LOST):
                return  # it has just finished, or the next heartbeat will get through
