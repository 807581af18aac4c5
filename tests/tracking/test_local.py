"""The champion of the project's own store is found without MLflow, and is the one MLflow names."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from src.errors import TrackingError
from src.files import digest
from src.tracking.champion import ALIAS, champion_of, find_champion, version_uri, weights_of
from src.tracking.local import local_version
from src.tracking.registry import promote
from src.tracking.store import open_backend, tracking_uri
from tests.tracking.finished import finish_run
from tests.tracking.projects import MODEL, Project

ASK = f"""
import sys
from src.tracking.champion import champion_of
print(champion_of({MODEL!r}).name, "mlflow" in sys.modules)
"""


@pytest.fixture
def promoted(project: Project) -> Project:
    finish_run(project)
    promote(project.record, 0.5, MODEL)
    return project


def test_mlflow_is_not_imported_for_the_projects_own_champion(promoted: Project) -> None:
    asked = subprocess.run([sys.executable, "-c", ASK], capture_output=True, text=True, check=True)
    assert asked.stdout == f"models:/{MODEL}/1 (ModelA on data/synthetic.yaml) False\n"


def test_it_is_the_version_that_mlflow_names(promoted: Project) -> None:
    client = open_backend().client
    for version in (1, 2):
        if version == 2:
            source = client.get_model_version(MODEL, "1")
            client.create_model_version(MODEL, source.source, source.run_id)
            client.set_model_version_tag(MODEL, "2", "experiment", "another")
            client.set_registered_model_alias(MODEL, ALIAS, "2")
        named, found = find_champion(open_backend(), MODEL), local_version(MODEL, ALIAS)
        assert named is not None and found is not None
        assert (version_uri(found), dict(found.tags)) == (version_uri(named), named.tags)
        if version == 1:
            assert champion_of(MODEL).path == weights_of(open_backend(), named)


def test_without_the_alias_there_is_none(promoted: Project) -> None:
    assert local_version("another", ALIAS) is None
    open_backend().client.delete_registered_model_alias(MODEL, ALIAS)
    assert local_version(MODEL, ALIAS) is None
    with pytest.raises(TrackingError, match="no champion yet"):
        champion_of(MODEL)


def test_a_deleted_version_is_not_found(promoted: Project) -> None:
    open_backend().client.delete_model_version(MODEL, "1")
    assert local_version(MODEL, ALIAS) is None


def test_mlflow_is_asked_about_any_other_store(
    promoted: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{Path('other.db').resolve()}")
    assert local_version(MODEL, ALIAS) is None
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{Path('mlruns/mlflow.db').resolve()}")
    assert local_version(MODEL, ALIAS) is not None


def test_a_copied_project_answers_by_its_own_file(
    promoted: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(Path.cwd(), copy)
    monkeypatch.chdir(copy)
    assert local_version(MODEL, ALIAS) is None
    path = champion_of(MODEL).path
    assert path.is_relative_to(copy) and digest(path) == digest(promoted.model)
    assert local_version(MODEL, ALIAS) is not None


def test_a_changed_file_is_refused_as_mlflow_would(promoted: Project) -> None:
    path = champion_of(MODEL).path
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.unlink()
    path.write_bytes(content)
    with pytest.raises(TrackingError, match="not the file that was registered as"):
        champion_of(MODEL)


def test_a_damaged_database_is_named(promoted: Project) -> None:
    database = Path(tracking_uri().removeprefix("sqlite:///"))
    with database.open("r+b") as file:
        file.write(os.urandom(4096))
    assert local_version(MODEL, ALIAS) is None
