"""Where runs are kept: one MLflow database and experiment for the whole project.

MLflow writes absolute artifact paths into a local database and has no relative ones: a relative
location is resolved when it is given, and `mlflow-artifacts:` needs a server. So a database whose
project was moved or copied has its paths rewritten, once, when it is next opened.
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

from src.errors import TrackingError

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "face-finetune"
STUDIES = "studies"  # the folder under which every folder has an experiment of its own
SQLITE = "sqlite:///"
PATH_COLUMNS = {  # where MLflow keeps absolute paths of artifacts
    "experiments": ("artifact_location",),
    "runs": ("artifact_uri",),
    "logged_models": ("artifact_location",),
    "model_versions": ("source", "storage_location"),
}


@dataclass(frozen=True)
class Store:
    """An open tracking store and this project's experiment in it."""

    client: MlflowClient
    uri: str
    experiment_id: str


def project_root() -> Path:
    """The nearest folder upwards that holds `.dvc`, else the working directory.

    The copies of the project that DVC makes under `.dvc/tmp` for experiments do not count, so
    that their runs land in the real project's store.
    """
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / ".dvc").is_dir() and ".dvc" not in folder.parts:
            return folder
    return here


def experiment_name() -> str:
    """`face-finetune`, or `face-finetune/NAME` where the working directory is `studies/NAME`."""
    here = Path.cwd()
    root = next((folder for folder in here.parents if folder.name == STUDIES), None)
    return f"{EXPERIMENT}/{here.relative_to(root).as_posix()}" if root else EXPERIMENT


def tracking_uri() -> str:
    """`MLFLOW_TRACKING_URI`, else the project's own SQLite database."""
    return os.environ.get("MLFLOW_TRACKING_URI") or _own_uri(project_root())


def _own_uri(root: Path) -> str:
    return f"{SQLITE}{root / 'mlruns' / 'mlflow.db'}"


def open_store() -> Store:
    """Open the store, made first if need be; raises TrackingError where it cannot be opened."""
    return _open(tracking_uri(), project_root(), experiment_name())


@cache
def _open(uri: str, root: Path, name: str) -> Store:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    own = uri == _own_uri(root)
    artifacts = root / "mlruns" / "artifacts" if own else None
    with locked(uri):
        try:
            client = MlflowClient(tracking_uri=uri, registry_uri=uri)
            experiment = client.get_experiment_by_name(name)
            if experiment is None:
                location = str(artifacts) if artifacts else None
                return Store(client, uri, client.create_experiment(name, location))
        except (MlflowException, SQLAlchemyError, OSError) as error:
            what = f"MLflow cannot open it ({str(error).splitlines()[0]})"
            raise TrackingError(uri, what, "check MLFLOW_TRACKING_URI, or move it away") from None
        if experiment.lifecycle_stage == "deleted":
            client.restore_experiment(experiment.experiment_id)
        if artifacts and experiment.artifact_location != str(artifacts):
            _relocate(Path(uri.removeprefix(SQLITE)), experiment.artifact_location, str(artifacts))
    return Store(client, uri, experiment.experiment_id)


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
    """Hold the store for one process: MLflow's own creation of a database is no single step."""
    if not uri.startswith(SQLITE):
        yield
        return
    from filelock import FileLock

    database = Path(uri.removeprefix(SQLITE))
    database.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(database.with_suffix(".lock")):
        yield
