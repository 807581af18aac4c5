"""The MLflow store: one database for the whole project.

MLflow writes absolute artifact paths into a local database and supports no relative ones: it
resolves them when they are set, and `mlflow-artifacts:` needs a server. If the project was moved or
copied, the paths in its database are therefore rewritten when it is next opened.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from src.errors import TrackingError, redacted
from src.tracking.address import check_answers, without_credentials
from src.tracking.sqlite import check_database, create_database, wait_for_locks

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

OURS = ("INVALID_PARAMETER_VALUE", "BAD_REQUEST")  # codes of calls that are wrong, not undelivered
DELETED = "must be in the 'active' state"  # though with the first of these codes
MISSING = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")  # the second of what is no id
SQLITE = "sqlite:///"
DATABASE, ARTIFACTS = "mlruns/mlflow.db", "mlruns/artifacts"  # under the project's root
PATH_COLUMNS = {  # the columns of MLflow's tables that hold absolute paths
    "experiments": ("artifact_location",),
    "runs": ("artifact_uri",),
    "logged_models": ("artifact_location",),
    "model_versions": ("source", "storage_location"),
}


@dataclass(frozen=True)
class Backend:
    """An open tracking store: all its runs and registered models."""

    client: MlflowClient
    uri: str


@dataclass(frozen=True)
class Store(Backend):
    """An open tracking store and the experiment in it that runs are written to."""

    experiment_id: str


def project_root() -> Path:
    """The nearest parent folder with `.dvc` in it, or the working directory.

    Copies of the project that DVC makes under `.dvc/tmp` for experiments do not count, so that
    their runs are written to the store of the project itself.
    """
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / ".dvc").is_dir() and ".dvc" not in folder.parts:
            return folder
    return here


def tracking_uri() -> str:
    """`MLFLOW_TRACKING_URI` without a server's credentials, or the project's own database.

    The environment names that one by its relative path, for MLflow's own commands. It means the one
    of the project that a command runs in, even if another project's environment is active.
    """
    given = os.environ.get("MLFLOW_TRACKING_URI")
    own = given is None or given in ("", f"{SQLITE}{DATABASE}")
    return _own_uri(project_root()) if own else without_credentials(str(given))


def _own_uri(root: Path) -> str:
    return f"{SQLITE}{root / DATABASE}"


def _database(uri: str) -> Path:
    return Path(uri.removeprefix(SQLITE))


def is_shared() -> bool:
    """Whether the store is one that other machines write to, and no file of this one."""
    scheme, _, rest = tracking_uri().partition("://")
    return bool(rest) and not scheme.startswith(("sqlite", "file"))


def own_database() -> Path | None:
    """The file of the project's own database; None where another store is used."""
    uri = _own_uri(project_root())
    return _database(uri) if tracking_uri() == uri else None


def open_store(experiment: str) -> Store:
    """Open the store and `experiment`, creating what is missing; raises TrackingError."""
    return _open_store(tracking_uri(), project_root(), experiment)


def open_backend() -> Backend:
    """Open the store to read from it; raises TrackingError if there is none."""
    uri, root = tracking_uri(), project_root()
    if uri == _own_uri(root) and not _database(uri).is_file():
        mend = "run from the project's folder, after `dvc repro`"
        raise TrackingError(str(root), "no MLflow store here", mend)
    return _open_backend(uri, root)


@cache
def _open_backend(uri: str, root: Path) -> Backend:
    from mlflow import MlflowClient

    check_answers(uri)
    wait_for_locks()
    if uri.startswith(SQLITE):
        check_database(_database(uri))
    with locked(uri), as_tracking_error(uri):
        if uri.startswith(SQLITE):
            create_database(_database(uri))
        backend = Backend(MlflowClient(tracking_uri=uri, registry_uri=uri), uri)
        backend.client.search_experiments(max_results=1)  # fails if it cannot be used
        if uri == _own_uri(root):
            _relocate_if_moved(_database(uri), str(root / ARTIFACTS))
    return backend


@cache
def _open_store(uri: str, root: Path, name: str) -> Store:
    backend = _open_backend(uri, root)
    client = backend.client
    with locked(uri), as_tracking_error(uri):
        experiment = client.get_experiment_by_name(name)
        if experiment is None:
            location = str(root / ARTIFACTS) if uri == _own_uri(root) else None
            return Store(client, uri, _create_experiment(client, name, location))
        if experiment.lifecycle_stage == "deleted":
            client.restore_experiment(experiment.experiment_id)
    return Store(client, uri, experiment.experiment_id)


def _create_experiment(client: MlflowClient, name: str, location: str | None) -> str:
    """The id of a new experiment, or of the one that another process has just made on a server."""
    from mlflow.exceptions import MlflowException

    try:
        return str(client.create_experiment(name, location))
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
        return str(client.get_experiment_by_name(name).experiment_id)


@contextmanager
def as_tracking_error(uri: str) -> Iterator[None]:
    """Turn what MLflow raises in a `with` block into a TrackingError."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError) as error:
        what = f"MLflow cannot open it ({redacted(str(error)).splitlines()[0]})"
        raise TrackingError(uri, what, "check MLFLOW_TRACKING_URI, or move it away") from None


@contextmanager
def reachable() -> Iterator[None]:
    """Turn the loss of the store in a `with` block, or as a decorator, into a TrackingError.

    What calls it writes nothing twice, so that the same command completes it later.
    """
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError) as error:
        if is_ours(error):
            raise
        what = f"the MLflow store is lost ({redacted(str(error)).splitlines()[0][:200]})"
        raise TrackingError(tracking_uri(), what, "run the same command when it is back") from None


def is_ours(error: Exception) -> bool:
    """Whether a call was wrong, as it is not for a run that was deleted in MLflow's pages since."""
    return getattr(error, "error_code", "") in OURS and DELETED not in str(error)


def find_run(store: Backend, run_id: str) -> Run | None:
    """The run with this id, deleted or not; None if the store has none, not if it cannot say."""
    from mlflow.exceptions import MlflowException

    try:
        return store.client.get_run(run_id)
    except MlflowException as error:
        if error.error_code in MISSING:
            return None
        raise


def _relocate_if_moved(database: Path, artifacts: str) -> None:
    """Rewrite artifact paths if the project was in another folder when they were written."""
    with closing(sqlite3.connect(database, timeout=60)) as connection:
        locations = connection.execute("SELECT DISTINCT artifact_location FROM experiments")
        known = [location for (location,) in locations if location]
    for location in known:
        if location.endswith(f"/{ARTIFACTS}") and location != artifacts:
            _relocate(database, location, artifacts)


def _relocate(database: Path, old: str, new: str) -> None:
    """Rewrite every artifact path that starts with `old`."""
    with closing(sqlite3.connect(database, timeout=60)) as connection, connection:
        for table, columns in PATH_COLUMNS.items():
            for column in columns:
                connection.execute(
                    f"UPDATE {table} SET {column} = ? || substr({column}, ?)"  # noqa: S608
                    f" WHERE {column} = ? OR substr({column}, 1, ?) = ?",
                    (new, len(old) + 1, old, len(old) + 1, f"{old}/"),
                )


@contextmanager
def locked(uri: str) -> Iterator[None]:
    """Lock a SQLite store for this process: MLflow does not create a database atomically."""
    if not uri.startswith(SQLITE):
        yield
        return
    from filelock import FileLock

    database = _database(uri)
    database.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(database.with_suffix(".lock")):
        yield
