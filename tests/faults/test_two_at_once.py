"""Two of a command at once: one waits or is refused by name, and nothing is doubled or lost."""

from __future__ import annotations

import shutil
import sqlite3
from collections import Counter
from pathlib import Path

import pytest

from tests.faults.invariants import Invariants
from tests.faults.project import STAGES, TUNE, WITHOUT_RUNS, Project

BUSY = ("blocked by", "Another process", "another process is using it", "Unable to acquire lock")


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of which only the rows are left to train."""
    folder = tmp_path_factory.mktemp("ready")
    project = Project.small(folder / "project")
    project.uninterrupted(folder, *WITHOUT_RUNS)
    project.run("dvc", "commit", "--force", *WITHOUT_RUNS)
    return project.folder


@pytest.fixture
def project(ready: Path, tmp_path: Path) -> Project:
    return Project(shutil.copytree(ready, tmp_path / "project", symlinks=True))


def both(*commands: tuple[Project, tuple[str, ...]]) -> list[str]:
    """Run commands at once; what those say that were refused. None crashes."""
    started = [project.start(*command) for project, command in commands]
    said = [process.communicate()[0] for process in started]
    for process, output in zip(started, said, strict=True):
        assert "Traceback" not in output
        assert process.returncode == 0 or any(word in output for word in BUSY), output
    refused = [o for p, o in zip(started, said, strict=True) if p.returncode]
    assert len(refused) < len(commands)
    return refused


def finished(project: Project) -> Counter[tuple[str, str]]:
    return Counter({key: count for key, count in project.runs().items() if key[1] != "KILLED"})


def test_two_pipelines_in_one_project_train_each_row_once(project: Project) -> None:
    repro = (project, ("dvc", "repro"))
    both(repro, repro)
    names = ("Head", "Head-seed0", "Head-seed1", "Network", "Network-seed0", "Network-seed1")
    assert finished(project) == {(name, "FINISHED"): 1 for name in names}
    assert len(project.rows("SELECT * FROM model_versions")) == 1
    everything = Invariants(project)
    everything.check_files()
    everything.check_complete()
    everything.check_store()

    for path in (project.folder / "mlruns/artifacts").parent.glob("mlflow.db"):
        with sqlite3.connect(path) as database:  # no champion: both shall make the first
            database.execute("DELETE FROM registered_model_aliases")
            database.execute("DELETE FROM model_version_tags")
            database.execute("DELETE FROM model_versions")
            database.execute("DELETE FROM registered_models")
    register = (project, ("python", "-m", "pipelines.register"))
    assert both(register, register) == []
    assert len(project.rows("SELECT * FROM model_versions")) == 1
    assert len(project.rows("SELECT * FROM registered_model_aliases")) == 1


def test_of_two_searches_in_one_file_the_second_is_refused(project: Project) -> None:
    (refused,) = both((project, TUNE), (project, TUNE))
    assert "another process is using it" in refused
    with sqlite3.connect(project.folder / "mlruns/optuna.db") as database:
        trials = database.execute("SELECT number, state FROM trials ORDER BY number").fetchall()
    assert trials == [(number, "COMPLETE") for number in range(len(trials))]
    runs = Counter(name for (name,) in project.rows("SELECT name FROM runs"))
    assert runs == {"tune-ModelD": 1, **{f"trial-{n:03d}": 1 for n in range(len(trials))}}


def test_two_clones_share_one_store(project: Project, ready: Path, tmp_path: Path) -> None:
    other = Project(shutil.copytree(ready, tmp_path / "other", symlinks=True))
    for each in (project, other):
        each.environment["MLFLOW_TRACKING_URI"] = f"sqlite:///{project.folder}/mlruns/mlflow.db"
    stages = ("dvc", "repro", *(s for s in STAGES if s.startswith("train") or s == "register"))
    assert both((project, stages), (other, stages)) == []
    names = ("Head", "Head-seed0", "Head-seed1", "Network", "Network-seed0", "Network-seed1")
    assert finished(project) == {(name, "FINISHED"): 2 for name in names}
    assert len(project.rows("SELECT * FROM experiments WHERE name = 'faults'")) == 1
    assert len(project.rows("SELECT * FROM registered_models")) == 1
    versions = project.rows("SELECT run_id FROM model_versions")
    assert len(versions) == len(set(versions)) == 2
