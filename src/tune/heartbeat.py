"""Telling a shared storage, while a wave trains, that its worker is alive."""

from __future__ import annotations

from threading import Event, Thread
from types import TracebackType

from optuna import Study, Trial
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import RDBStorage
from sqlalchemy.exc import SQLAlchemyError


class Heartbeats:
    """Beats for the trials added to it, within a `with` block; nothing for a SQLite file."""

    def __init__(self, study: Study, interval: int | None) -> None:
        self._storage, self._interval = study._storage, interval
        self._open: dict[int, int] = {}
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
        """Begin to beat for a trial, at once."""
        self._open[trial.number] = trial._trial_id
        self._record(trial._trial_id)

    def remove(self, trial: Trial) -> None:
        """The trial is finished or given back."""
        self._open.pop(trial.number, None)

    def _beat(self) -> None:
        while not self._stop.wait(self._interval):
            for trial_id in list(self._open.values()):
                self._record(trial_id)

    def _record(self, trial_id: int) -> None:
        storage = getattr(self._storage, "_backend", self._storage)
        if self._interval and isinstance(storage, RDBStorage):
            try:
                storage.record_heartbeat(trial_id)
            except (UpdateFinishedTrialError, SQLAlchemyError):
                return  # finished meanwhile, or the next beat will get through
