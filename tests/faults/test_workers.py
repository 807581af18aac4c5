"""Workers in clones of one repository divide its experiments; one that is killed loses nothing."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from src.files import digest
from tests.pipeline.repository import Repository
from tests.tune import postgres

pytestmark = pytest.mark.faults

HEAD = {"train": ["head"], "batch_size": 8, "epochs": 2}
SMALL = {
    "data": {"origin": "data/smoke.yaml", "image_size": 32},
    "unknown": {"origin": "data/nobody.yaml"},
    "weights": {"origin": "weights/scratch.yaml"},
    "model": {"backbone": "mobilenet_v3_small", "stem": "standard"},
    "seeds": 1,
    "experiments": {
        "One": HEAD,
        "Two": {**HEAD, "epochs": 3},
        "Three": {**HEAD, "train": ["head", "features.12"]},
    },
}
ROWS = [f"train@{name}" for name in SMALL["experiments"]]
WORKER = ("python", "-u", "-m", "src.worker")
TAKEOVER = 60.0  # seconds in which another worker must go on with what a killed one had


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    with postgres.server() as url:
        yield url


@pytest.fixture
def clones(database: str, tmp_path: Path) -> list[Repository]:
    """Two clones of one commit with one DVC remote, one MLflow store and one database."""
    first = Repository.with_pipeline(tmp_path / "first", SMALL)
    first.run("dvc", "remote", "add", "-d", "shared", str(tmp_path / "remote"))
    first.commit("A small pipeline")
    made = [first, first.clone(tmp_path / "second")]
    shared = {
        "OPTUNA_STORAGE": database,
        "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'mlflow.db'}",
        "MLFLOW_ARTIFACT_ROOT": str(tmp_path / "artifacts"),
        "OMP_NUM_THREADS": "1",
    }
    for clone in made:
        clone.environment |= shared
    return made


def start(clone: Repository) -> tuple[subprocess.Popen[bytes], Path]:
    """A worker, and the file that gets what it says."""
    said = clone.folder.with_name(f"{clone.folder.name}.log")
    with said.open("wb") as file:
        process = subprocess.Popen(
            WORKER, cwd=clone.folder, env=clone.environment, stdout=file, stderr=file
        )
    return process, said


def ran(said: Path) -> list[str]:
    """The stages that a worker ran itself."""
    lines = said.read_text(encoding="utf-8").splitlines()
    return [line.split("'")[1] for line in lines if line.startswith("Running stage '")]


def runs(clone: Repository) -> Counter[tuple[str, str]]:
    path = clone.environment["MLFLOW_TRACKING_URI"].removeprefix("sqlite:///")
    with sqlite3.connect(path) as store:
        return Counter(store.execute("SELECT name, status FROM runs").fetchall())


def complete(clone: Repository) -> dict[str, str]:
    """Digests of a clone's results, of which DVC has nothing left to run."""
    assert clone.stages_run("repro") == set()
    found = [*clone.folder.glob("models/*.safetensors"), *clone.folder.glob("metrics/**/*.json")]
    return {str(path.relative_to(clone.folder)): digest(path) for path in found}


def test_each_experiment_is_trained_by_one_worker_and_ends_in_every_clone(
    clones: list[Repository],
) -> None:
    workers = [start(clone) for clone in clones]
    for process, said in workers:
        assert process.wait(timeout=600) == 0, said.read_text()
    stages = [ran(said) for _, said in workers]
    assert sorted(stages[0] + stages[1]) == sorted(
        ["dataset", "weights", "embed", *ROWS, "evaluate", "register", "report"]
    )
    assert all({*ROWS} & {*each} for each in stages), "neither had nothing to do"
    first, second = (complete(clone) for clone in clones)
    assert first == second and len(first) >= 2 * len(ROWS)
    names = SMALL["experiments"]
    assert runs(clones[0]) == {(name, "FINISHED"): 1 for name in names}


def test_what_a_killed_worker_was_training_is_trained_by_another(clones: list[Repository]) -> None:
    killed, said = start(clones[0])
    limit = time.monotonic() + 300
    while not {*ROWS} & {*ran(said)}:
        assert killed.poll() is None and time.monotonic() < limit, said.read_text()
        time.sleep(0.05)
    (row,) = {*ROWS} & {*ran(said)}
    other, others = start(clones[1])
    while not {*ROWS} & {*ran(others)}:  # it has taken another row
        assert other.poll() is None and time.monotonic() < limit, others.read_text()
        time.sleep(0.05)
    assert row not in ran(others)
    stage = [p for p in psutil.Process(killed.pid).children(recursive=True) if p.is_running()]
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    psutil.wait_procs(stage, timeout=10)
    assert not [process for process in stage if process.is_running()]
    limit = time.monotonic() + TAKEOVER
    while row not in ran(others):
        assert other.poll() is None and time.monotonic() < limit, others.read_text()
        time.sleep(0.1)
    assert other.wait(timeout=600) == 0, others.read_text()

    names = SMALL["experiments"]
    left = {key: count for key, count in runs(clones[1]).items() if key[1] != "KILLED"}
    assert left == {(name, "FINISHED"): 1 for name in names}
    clones[0].run(*WORKER)  # the killed one comes back, and finds everything done
    assert complete(clones[0]) == complete(clones[1])
    assert {k: v for k, v in runs(clones[0]).items() if k[1] != "KILLED"} == left
