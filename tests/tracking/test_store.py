"""The store is found, made once, and follows the project when it moves."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from src.closure import ROOT
from src.errors import TrackingError
from src.tracking.champion import champion_of
from src.tracking.registry import promote
from src.tracking.store import open_backend, open_store, project_root, tracking_uri
from tests.tracking.finished import finish_run
from tests.tracking.projects import EXPERIMENT, MODEL, Project
from tests.tracking.servers import Server

FIRST = """
import sys, time
from pathlib import Path
from mlflow import MlflowClient
from src.tracking.store import open_store

look = MlflowClient.get_experiment_by_name

def slowly(*args):  # so that both have seen that there is none before either makes it
    found = look(*args)
    Path(f"{sys.argv[1]}.ready").touch()
    while len(list(Path().glob("*.ready"))) < 2:
        time.sleep(0.05)
    return found

MlflowClient.get_experiment_by_name = slowly
print(open_store("new").experiment_id)
"""


def test_the_nearest_folder_with_dvc_holds_the_store(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = project.root / "studies" / "hotdog"
    inside.mkdir(parents=True)
    monkeypatch.chdir(inside)
    assert tracking_uri() == f"sqlite:///{project.root}/mlruns/mlflow.db"


def test_an_experiment_in_a_copy_under_dvc_tmp_uses_the_real_project(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = project.root / ".dvc" / "tmp" / "exps" / "abc"
    (copy / ".dvc").mkdir(parents=True)
    monkeypatch.chdir(copy)
    assert project_root() == project.root


def test_the_environment_decides_over_the_project(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    assert tracking_uri() == "http://127.0.0.1:5000"


def test_the_environment_of_another_project_does_not_decide(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = project.root / "studies"
    inside.mkdir()
    monkeypatch.chdir(inside)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlruns/mlflow.db")
    assert tracking_uri() == f"sqlite:///{project.root}/mlruns/mlflow.db"


def test_telemetry_is_off() -> None:
    from mlflow.telemetry.client import get_telemetry_client

    assert get_telemetry_client() is None


def test_artifacts_are_found_after_the_project_moved(
    project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    record = finish_run(project)
    moved = tmp_path / "a place, elsewhere"
    shutil.move(project.root, moved)
    monkeypatch.chdir(moved)
    store = open_store(EXPERIMENT)
    run = store.client.get_run(record.run_id)
    model = store.client.get_logged_model(run.outputs.model_outputs[0].model_id)
    assert run.info.artifact_uri.startswith(str(moved))
    assert model.artifact_location.startswith(str(moved))
    assert [file.path for file in store.client.list_artifacts(record.run_id)] == ["curves.csv"]


def test_what_the_registry_knows_is_found_after_the_project_moved(
    project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    finish_run(project)
    promote(project.record, 0.5, MODEL)
    moved = tmp_path / "moved"
    shutil.copytree(project.root, moved)
    monkeypatch.chdir(moved)
    assert champion_of(MODEL).path.is_relative_to(moved)


@pytest.mark.parametrize("folder", ["studies/clone", "studies"])
def test_a_project_under_studies_keeps_its_experiment(
    project: Project, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    clone = project.root / folder
    shutil.copytree(project.root, clone, ignore=shutil.ignore_patterns("studies"))
    monkeypatch.chdir(clone)
    record = finish_run(project)
    client = open_backend().client
    experiment = client.get_experiment(client.get_run(record.run_id).info.experiment_id)
    assert experiment.name == record.experiment == EXPERIMENT


def test_reading_makes_no_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TrackingError, match="no MLflow store here; run from the project's folder"):
        open_backend()
    assert list(tmp_path.iterdir()) == []


def test_a_database_that_is_none_is_one_line(project: Project) -> None:
    (project.root / "mlruns" / "mlflow.db").write_text("not a database, however long it may be")
    with pytest.raises(TrackingError, match=r"mlflow\.db: the database is damaged"):
        open_store(EXPERIMENT)


def test_two_processes_make_one_store(tmp_path: Path) -> None:
    code = "from src.tracking.store import open_store; print(open_store('faces').experiment_id)"
    (tmp_path / ".dvc").mkdir()
    both = [
        subprocess.Popen(
            [sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    answers = [process.communicate(timeout=120)[0] for process in both]
    assert answers[0] == answers[1] == "1\n"


@pytest.mark.faults
def test_two_processes_make_one_experiment_on_a_server(
    project: Project, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://{server.address}")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    both = [
        subprocess.Popen(
            [sys.executable, "-c", FIRST, name], env=environment, stdout=subprocess.PIPE, text=True
        )
        for name in "AB"
    ]
    answers = [process.communicate(timeout=120)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert answers[0] == answers[1] != ""
    assert open_store("new").experiment_id == answers[0].strip()
