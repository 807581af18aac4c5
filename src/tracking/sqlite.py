"""A SQLite database that another process locks is waited for; one that is damaged is left alone."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from functools import cache
from pathlib import Path

from src.errors import TrackingError

PATIENCE = 120  # seconds that a lock is waited for, far longer than any transaction takes


@cache
def wait_for_locks() -> None:
    """Give every SQLite connection that SQLAlchemy opens here that patience; its own is 5 s."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    @event.listens_for(Engine, "connect")
    def _(connection: object, _record: object) -> None:
        if isinstance(connection, sqlite3.Connection):
            connection.execute(f"PRAGMA busy_timeout = {PATIENCE * 1000}")


def create_database(path: Path) -> None:
    """Make MLflow's tables in a new file, which is in its place only when they are complete.

    MLflow takes seconds and many transactions, and cannot go on where it was killed.
    """
    from mlflow.store.tracking import DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    if (path.exists() and path.stat().st_size) or path.name == ":memory:" or "?" in path.name:
        return
    new = path.with_name(f"{path.name}.new")
    for left in (new, new.with_name(f"{new.name}-journal")):
        left.unlink(missing_ok=True)
    SqlAlchemyStore(f"sqlite:///{new}", DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH).engine.dispose()
    new.replace(path)


def check_database(path: Path) -> None:
    """Raise TrackingError for a file that is no intact database, or stays locked; reads only."""
    if not path.is_file():
        return
    try:
        with closing(sqlite3.connect(path, timeout=PATIENCE)) as connection:
            found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            connection.execute("BEGIN IMMEDIATE")
            connection.rollback()
    except sqlite3.OperationalError as error:
        what = f"cannot be opened ({error}), after {PATIENCE} s of waiting if it is locked"
        mend = "end the process that holds it, or see who may write the file"
        raise TrackingError(str(path), what, mend) from None
    except sqlite3.DatabaseError as error:
        found = str(error)
    if found != "ok":
        what = f"the database is damaged ({found})"
        mend = "move it away; `python -m src.tracking reconcile` makes its runs again in a new one"
        raise TrackingError(str(path), what, mend)
