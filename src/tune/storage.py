"""Opening the database that a study lives in, and giving back the trials of dead workers.

A SQLite file belongs to one process at a time, by a lock: whatever is open in it when that
process starts was left by one that was killed, and is run again under its own number. A server
is shared: there a trial whose worker has been silent is failed, and a copy of it is queued, which
only one worker can do (Optuna's own way).
"""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from filelock import FileLock, Timeout
from optuna.exceptions import ExperimentalWarning, StorageInternalError, UpdateFinishedTrialError
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback, fail_stale_trials
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from src.errors import TuneError

if TYPE_CHECKING:
    from optuna import Study

CONNECT = 10  # seconds to wait for a server
SILENCES = 3  # heartbeats that a worker may miss before it is taken for dead
WORKER = "worker"  # a trial's attribute: host and process that run it


def silence_optuna() -> None:
    """Leave the terminal to the table: no line per trial, no warning of what is meant."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    logging.getLogger("sqlalchemy").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=ExperimentalWarning)
    warnings.filterwarnings("ignore", message="Heartbeat of storage is supposed")
    warnings.filterwarnings("ignore", message="The reported value is ignored")


def parse_url(url: str) -> URL:
    """An Optuna URL taken apart; raises TuneError where it is none."""
    try:
        parsed = make_url(url)
        parsed.get_dialect()
    except (ArgumentError, NoSuchModuleError, ImportError):
        raise TuneError(
            url.rsplit("@", maxsplit=1)[-1],
            "not a storage that Optuna can open",
            "use sqlite:///FILE, or postgresql://USER@HOST/DATABASE",
        ) from None
    return parsed


def is_sqlite(url: URL) -> bool:
    """Whether the storage is a file of one process."""
    return url.get_backend_name() == "sqlite"


def shown(url: URL) -> str:
    """The URL without its password."""
    return url.render_as_string(hide_password=True)


@contextmanager
def alone(url: URL) -> Iterator[None]:
    """Hold a SQLite file for this process; nothing to hold on a server. Raises TuneError."""
    if not is_sqlite(url) or url.database in (None, "", ":memory:"):
        yield
        return
    path = Path(str(url.database))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TuneError(
            shown(url), f"cannot be opened ({error.strerror})", "choose another folder"
        ) from None
    lock = FileLock(path.with_name(f"{path.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise TuneError(
            shown(url),
            "another process is tuning in it",
            "wait for it, or share a PostgreSQL URL between them",
        ) from None
    try:
        yield
    finally:
        lock.release()


def open_storage(url: URL, heartbeat: int) -> RDBStorage:
    """Connect, making Optuna's tables if need be; raises TuneError with the server's own words."""
    whole = url.render_as_string(hide_password=False)
    try:
        if is_sqlite(url):
            storage = RDBStorage(whole, engine_kwargs={"connect_args": {"timeout": 60}})
            event.listen(storage.engine, "connect", _write_ahead)
            storage.engine.dispose()
            return storage
        wait = {"connect_timeout": CONNECT} if url.get_backend_name() == "postgresql" else {}
        return RDBStorage(
            whole,
            engine_kwargs={"connect_args": wait, "pool_pre_ping": True},
            heartbeat_interval=heartbeat,
            grace_period=heartbeat * SILENCES,
            heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(),
        )
    except ImportError as error:
        what = f"its driver is not installed ({error})"
        raise TuneError(shown(url), what, "install it, or use postgresql://") from None
    except (SQLAlchemyError, StorageInternalError, RuntimeError) as error:
        words = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        what = f"cannot be opened ({words})"
        raise TuneError(shown(url), what, "check the URL, and that the server runs") from None


def _write_ahead(connection: Any, _record: object) -> None:
    """A trial costs some twenty transactions: log them, without waiting for the disk at each.

    What is committed outlives a killed process all the same.
    """
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")


@dataclass
class Orphans:
    """Finds trials whose worker is gone, and queues them again."""

    study: Study
    url: URL
    heartbeat: int
    _first_seen: dict[int, float] = field(default_factory=dict)

    def requeue(self, own: frozenset[int] = frozenset()) -> None:
        """Give back what nobody runs; `own` are the numbers of this process's open trials."""
        running = [
            trial
            for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
            if trial.number not in own
        ]
        if is_sqlite(self.url):
            for trial in running:
                release(self.study, trial)
            return
        fail_stale_trials(self.study)
        for trial in running:
            seen = self._first_seen.setdefault(trial.number, time.monotonic())
            if time.monotonic() - seen > self.heartbeat * SILENCES:
                self._fail_unborn(trial)

    def _fail_unborn(self, trial: FrozenTrial) -> None:
        """A worker killed between asking and its first heartbeat leaves no heartbeat to miss."""
        with self.study._storage._backend.engine.connect() as connection:
            born = connection.scalars(text("SELECT trial_id FROM trial_heartbeats")).all()
        if trial._trial_id in born:
            return
        try:
            failed = self.study._storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
        except UpdateFinishedTrialError:
            return
        if failed:
            RetryHeartbeatStaleTrialCallback()(self.study, trial)


def release(study: Study, trial: FrozenTrial | optuna.Trial) -> None:
    """Put an open trial back in the queue, under its own number and with its parameters."""
    study._storage.set_trial_state_values(trial._trial_id, TrialState.WAITING)
