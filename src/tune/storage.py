"""Opening a study's storage, and queueing the trials of dead workers again.

A lock gives a SQLite file to one process at a time. A trial that is running when that process
starts was left behind by a killed one, and is run again under the same number. A server is shared:
as Optuna does it, a trial whose worker has sent no heartbeat is failed and a copy of it queued.
"""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from filelock import FileLock, Timeout
from optuna.exceptions import ExperimentalWarning, StorageInternalError, UpdateFinishedTrialError
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback, fail_stale_trials
from optuna.storages._rdb.models import (
    TrialHeartbeatModel,
    TrialIntermediateValueModel,
    TrialParamModel,
    TrialSystemAttributeModel,
)
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Delete, delete, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import (
    ArgumentError,
    IntegrityError,
    NoSuchModuleError,
    ProgrammingError,
    SQLAlchemyError,
)

from src.errors import TuneError, redacted
from src.tracking.address import ESCAPE, has_unescaped_at, hide_passwords, reason

if TYPE_CHECKING:
    from optuna import Study

LOST = (StorageInternalError, SQLAlchemyError)  # what a call raises that does not get through
CONNECT_TIMEOUT = 10  # seconds
TABLES = 20  # more than Optuna has
PAUSE = 0.02  # seconds; each is longer than the last by as much, which makes 4 in all
MISSED_HEARTBEATS = 3  # after so many a worker is taken for dead
RUNG = "completed_rung_"  # what the pruner notes with a trial begins so
WORKER = "worker"  # user attribute of a trial: the host and process id of its worker


def silence_optuna() -> None:
    """Keep log lines per trial, and warnings about what is intended, off the terminal."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    logging.getLogger("sqlalchemy").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=ExperimentalWarning)
    warnings.filterwarnings("ignore", message="Heartbeat of storage is supposed")
    warnings.filterwarnings("ignore", message="The reported value is ignored")


def parse_url(url: str) -> URL:
    """Parse the URL of an Optuna storage; raises TuneError."""
    if has_unescaped_at(url) and not url.startswith("sqlite"):
        raise TuneError("--storage", "its password has an unescaped `@`", ESCAPE)
    try:
        parsed = make_url(url)
        parsed.get_dialect()
        hide_passwords(parsed)
    except (ArgumentError, NoSuchModuleError, ImportError, ValueError):
        raise TuneError(
            redacted(url),
            "not the URL of an Optuna storage",
            "use sqlite:///FILE, or postgresql://USER@HOST/DATABASE",
        ) from None
    return parsed


def is_sqlite(url: URL) -> bool:
    """Whether the storage is a file, which one process has to itself."""
    return url.get_backend_name() == "sqlite"


def safe_url(url: URL) -> str:
    """The URL without its password."""
    return redacted(url.render_as_string(hide_password=True))


@contextmanager
def exclusive_access(url: URL) -> Iterator[None]:
    """Lock a SQLite file for this process; on a server, lock nothing. Raises TuneError."""
    if not is_sqlite(url):
        yield
        return
    path = Path(url.database or "")
    if path.name in ("", ":memory:"):  # a study in memory could be neither resumed nor shared
        raise TuneError(safe_url(url), "names no file", "write sqlite:///mlruns/optuna.db")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TuneError(
            safe_url(url), f"cannot be opened ({error.strerror})", "choose another folder"
        ) from None
    lock = FileLock(path.with_name(f"{path.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise TuneError(
            safe_url(url),
            "another process is using it",
            "wait until it has ended, or give both a PostgreSQL URL",
        ) from None
    try:
        yield
    finally:
        lock.release()


def open_storage(url: URL, heartbeat: int) -> RDBStorage:
    """Connect, and create Optuna's tables if they are missing; raises TuneError."""
    try:
        if is_sqlite(url):
            full_url = url.render_as_string(hide_password=False)
            storage = RDBStorage(full_url, engine_kwargs={"connect_args": {"timeout": 60}})
            event.listen(storage.engine, "connect", _write_ahead)
            storage.engine.dispose()
            return storage
        for attempt in range(1, TABLES + 1):
            # Another worker may make them just now: each that it was first with fails here.
            with suppress(IntegrityError, ProgrammingError):
                return _open_server(url, heartbeat)
            time.sleep(PAUSE * attempt)
        return _open_server(url, heartbeat)
    except ImportError as error:
        raise no_driver(url, error) from None
    except (*LOST, RuntimeError) as error:
        what = f"cannot be opened ({reason(error)})"
        raise TuneError(safe_url(url), what, "check the URL and the server") from None


def no_driver(url: URL, error: Exception) -> TuneError:
    """Says that the driver that the URL names cannot be imported here."""
    what = f"its driver is not installed ({error})"
    return TuneError(safe_url(url), what, "install it, or use postgresql://")


def _open_server(url: URL, heartbeat: int) -> RDBStorage:
    postgresql = url.get_backend_name() == "postgresql"
    options = {"connect_timeout": CONNECT_TIMEOUT} if postgresql else {}
    return RDBStorage(
        url.render_as_string(hide_password=False),
        engine_kwargs={"connect_args": options, "pool_pre_ping": True},
        heartbeat_interval=heartbeat,
        grace_period=heartbeat * MISSED_HEARTBEATS,
        heartbeat_stale_trial_callback=RetryAnew(),
    )


class RetryAnew(RetryHeartbeatStaleTrialCallback):  # type: ignore[misc]
    """Retries a trial from its first epoch: without the rungs that it had passed.

    Nor does the one that failed compete at them, as it would with itself.
    """

    def __call__(self, study: Study, trial: FrozenTrial) -> None:
        """Queue `trial` again."""
        _delete(study, _rungs_of(trial))
        anew = copy(trial)
        anew.system_attrs = {
            key: value for key, value in trial.system_attrs.items() if not key.startswith(RUNG)
        }
        super().__call__(study, anew)


@contextmanager
def reachable(url: URL) -> Iterator[None]:
    """Turn the loss of the storage in a `with` block into a TuneError.

    Trials that run stay running there, until the next search finds them without heartbeats.
    """
    try:
        yield
    except LOST as error:
        what = f"the storage is lost ({reason(error.__cause__ or error)})"
        raise TuneError(safe_url(url), what, "run the same command when it is back") from None


def _write_ahead(connection: Any, _record: object) -> None:
    """Use the write-ahead log, since a trial takes some twenty transactions.

    They are not synced to disk one by one, yet outlive a process that is killed.
    """
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")


@dataclass
class StaleTrials:
    """Running trials whose worker has died."""

    study: Study
    url: URL
    heartbeat: int
    _first_seen: dict[int, float] = field(default_factory=dict)

    def requeue(self, own: frozenset[int] = frozenset()) -> None:
        """Queue them again; `own` are the numbers of the trials that this process runs."""
        running = [
            trial
            for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
            if trial.number not in own
        ]
        if is_sqlite(self.url):
            for trial in running:
                return_to_queue(self.study, trial)
            return
        fail_stale_trials(self.study)
        for trial in running:
            seen = self._first_seen.setdefault(trial.number, time.monotonic())
            if time.monotonic() - seen > self.heartbeat * MISSED_HEARTBEATS:
                self._fail_without_heartbeat(trial)

    def _fail_without_heartbeat(self, trial: FrozenTrial) -> None:
        """Optuna never fails a trial whose worker was killed before its first heartbeat."""
        with self.study._storage._backend.engine.connect() as connection:
            beating = connection.scalars(text("SELECT trial_id FROM trial_heartbeats")).all()
        if trial._trial_id in beating:
            return
        try:
            failed = self.study._storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
        except UpdateFinishedTrialError:
            return
        if failed:
            RetryAnew()(self.study, trial)


def return_to_queue(study: Study, trial: FrozenTrial | optuna.Trial) -> None:
    """Make a running trial wait again, with the same number, as if it had never run.

    Without its heartbeats, by whose age whoever runs it next would be taken for dead, and without
    the values and rungs by which it would be pruned otherwise than a trial that was not stopped.
    Its parameters are drawn anew: Optuna draws none that are stored, and of a trial that was killed
    between two of them the others would get draws that the stored ones have had.
    """
    own = (
        delete(table).where(table.trial_id == trial._trial_id)
        for table in (TrialHeartbeatModel, TrialIntermediateValueModel, TrialParamModel)
    )
    _delete(study, *own, _rungs_of(trial))
    study._storage.set_trial_state_values(trial._trial_id, TrialState.WAITING)


@contextmanager
def at_once(study: Study) -> Iterator[None]:
    """Have a SQLite file keep all that a `with` block writes or, if it is killed, nothing.

    On a server, where others wait for what is locked and may take a trial over, each write is one
    of its own.
    """
    storage = study._storage._backend
    if storage.engine.dialect.name != "sqlite":
        yield
        return
    storage.remove_session()
    with storage.engine.begin() as connection:
        storage.scoped_session(bind=connection)  # its commits leave the connection's to `begin`
        try:
            yield
        finally:
            storage.remove_session()


def _rungs_of(trial: FrozenTrial | optuna.Trial) -> Delete:
    table = TrialSystemAttributeModel
    return delete(table).where(table.trial_id == trial._trial_id, table.key.startswith(RUNG))


def _delete(study: Study, *rows: Delete) -> None:
    """Delete what Optuna has no functions for."""
    with study._storage._backend.engine.begin() as connection:
        for each in rows:
            connection.execute(each)
