"""The champion of the project's own database, read without MLflow, whose import takes seconds.

Only where everything is as this project leaves it; anywhere else MLflow is asked, and says what is
wrong.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from src.tracking.store import ARTIFACTS, own_database, project_root

VERSION = """
  SELECT versions.version, versions.source FROM registered_model_aliases AS aliases
  JOIN model_versions AS versions USING (workspace, name, version)
  WHERE workspace = 'default' AND name = ? AND aliases.alias = ?
  AND versions.current_stage != 'Deleted_Internal'"""
TAGS = """
  SELECT key, value FROM model_version_tags
  WHERE workspace = 'default' AND name = ? AND version = ?"""


@dataclass(frozen=True)
class LocalVersion:
    """What is used of MLflow's ModelVersion, and the folder with its files."""

    name: str
    version: int
    tags: Mapping[str, str]
    folder: Path


def local_version(model: str, alias: str) -> LocalVersion | None:
    """The version with the alias in the project's own database; None where MLflow must be asked.

    So it is where MLFLOW_TRACKING_URI names another store, where the files are not in the project's
    own folder, as after a move, and where the database cannot be read at once.
    """
    if (database := own_database()) is None or not database.is_file():
        return None
    try:
        uri = f"{database.as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, timeout=1)) as connection:
            row = connection.execute(VERSION, (model, alias)).fetchone()
            if row is None:
                return None
            version, source = row
            tags = dict(connection.execute(TAGS, (model, version)))
    except sqlite3.Error:
        return None
    folder = Path(source or "")
    if not folder.is_relative_to(project_root() / ARTIFACTS):
        return None
    return LocalVersion(model, version, tags, folder / "artifacts")
