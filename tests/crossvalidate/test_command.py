"""The whole command, by real DVC and MLflow: killed, resumed, repeated, refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from ruamel.yaml import YAML

from src.closure import import_closure
from src.config import PARAMS
from src.config.presets import changed, read_preset
from src.crossvalidate import outputs
from src.data.faceset import FaceSet
from src.evaluation.predictions import Predictions
from src.files import digest
from src.models.weights import random_weights
from tests.pipeline.repository import Repository
from tests.shipped import SHIPPED

pytestmark = [pytest.mark.pipeline, pytest.mark.long]
COMMAND = (sys.executable, "-m", "src.crossvalidate", "--folds", "3", "Baseline", "ModelA")
WEIGHTS = "weights/random.safetensors"
PATIENCE = 300.0  # seconds for a busy machine; a quiet one needs thirty


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A project with preset `smoke` in its params.yaml, and random source weights."""
    made = Repository.with_pipeline(tmp_path_factory.mktemp("project"))
    yaml = YAML(typ="safe")
    raw = yaml.load((SHIPPED / PARAMS).read_text(encoding="utf-8"))
    small = changed(raw, read_preset("smoke", SHIPPED)) | {"weights": {"origin": WEIGHTS}}
    with (made.folder / PARAMS).open("w", encoding="utf-8") as file:
        yaml.dump(small, file)
    made.commit("Make it small")
    random_weights("resnet18", 0).save(made.folder / WEIGHTS)
    return made


@pytest.fixture(scope="module")
def resumed(repository: Repository) -> str:
    """What the command prints that takes up another one, killed after four of six folds."""
    process = subprocess.Popen(
        COMMAND,
        cwd=repository.folder,
        env=repository.environment,
        start_new_session=True,  # so that DVC and the stage are killed with it
    )
    deadline = time.monotonic() + PATIENCE
    try:
        while len(results(repository)) < 4:
            assert process.poll() is None, "ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        kill_group(process)
    assert not (repository.folder / outputs.METRICS).exists()
    return repository.run(*COMMAND)


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a process with all that it started, and wait until the system has forgotten them.

    DVC takes a lock to be held while there is a process with its number, and a killed one keeps
    its number until it is reaped.
    """
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    with suppress(ProcessLookupError):
        while True:
            os.killpg(process.pid, 0)
            time.sleep(0.02)


def results(repository: Repository) -> list[Path]:
    return sorted((repository.folder / ".cache/folds").glob("[!.]*.safetensors"))


def predictions(repository: Repository) -> Predictions:
    return Predictions.load(repository.folder / outputs.PREDICTIONS)


def test_a_killed_command_is_resumed_with_what_is_missing(resumed: str) -> None:
    folds = [line for line in resumed.splitlines() if ", fold " in line]
    assert len(folds) == 6
    kept = [line.endswith("kept from an earlier run") for line in folds]
    assert kept[:4] == [True] * 4 and not kept[5]


def test_repeated_it_runs_nothing_and_shows_the_same_table(
    repository: Repository, resumed: str
) -> None:
    written = [path.stat().st_mtime_ns for path in results(repository)]
    again = repository.run(*COMMAND)
    assert ", fold " not in again
    assert [line for line in resumed.splitlines() if line.startswith("|")] == again.splitlines()[:4]
    assert [path.stat().st_mtime_ns for path in results(repository)] == written


@pytest.mark.usefixtures("resumed")
def test_the_figures_are_those_of_the_stored_predictions(repository: Repository) -> None:
    faces = FaceSet.load(repository.folder / "data/faces.safetensors")
    found, metrics = predictions(repository), read_metrics(repository)
    assert found.rows.tolist() == list(range(len(faces)))
    assert found.labels.tolist() == faces.labels.tolist()
    for name in ("Baseline", "ModelA"):
        right = found.logits[name][0].argmax(axis=1) == faces.labels.numpy()
        assert metrics[name]["accuracy"] == pytest.approx(right.mean(), abs=1e-6)
        assert metrics[name]["images"] == len(faces)
        assert np.mean([*metrics[name]["fold"].values()]) == pytest.approx(right.mean(), abs=0.02)
    assert (repository.folder / outputs.FIGURE).read_bytes().startswith(b"\x89PNG")


def read_metrics(repository: Repository) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = json.loads(
        (repository.folder / outputs.METRICS).read_text(encoding="utf-8")
    )
    return found


@pytest.mark.usefixtures("resumed")
def test_mlflow_has_a_run_for_each_experiment_and_a_child_for_each_fold(
    repository: Repository,
) -> None:
    parents = {f"{name}-3-folds" for name in ("Baseline", "ModelA")}
    children = {f"{name}-fold{k}" for name in ("Baseline", "ModelA") for k in (1, 2, 3)}
    runs = repository.table("SELECT name, status, run_uuid FROM runs")
    assert sorted(name for name, _, _ in runs) == sorted(parents | children)
    assert {status for _, status, _ in runs} == {"FINISHED"}
    ids = {run: name for name, _, run in runs}
    links = repository.table("SELECT run_uuid, value FROM tags WHERE key = 'mlflow.parentRunId'")
    assert {(ids[child].split("-")[0], ids[parent]) for child, parent in links} == {
        (name, f"{name}-3-folds") for name in ("Baseline", "ModelA")
    }
    accuracies = repository.table(
        "SELECT run_uuid, value FROM latest_metrics WHERE key = 'test/accuracy'"
    )
    logged = {ids[run]: float(value) for run, value in accuracies}
    for name, row in read_metrics(repository).items():
        assert logged[f"{name}-3-folds"] == pytest.approx(row["accuracy"], abs=1e-6)


@pytest.mark.usefixtures("resumed")
def test_the_stage_declares_all_code_that_it_may_run(repository: Repository) -> None:
    text = (repository.folder / outputs.PIPELINE).read_text(encoding="utf-8")
    deps = YAML(typ="safe").load(text)["stages"]["crossvalidate"]["deps"]
    code = {path.as_posix() for path in import_closure("pipelines.crossvalidate")}
    assert set(deps) == code | {"data/faces.safetensors", "models/source.safetensors"}


@pytest.mark.usefixtures("resumed")
def test_a_run_from_nothing_gives_the_same_bytes_and_no_second_run(
    repository: Repository,
) -> None:
    kept = [repository.folder / path for path in (outputs.PREDICTIONS, outputs.METRICS)]
    before = {path: digest(path) for path in kept}
    for path in results(repository):
        path.unlink()
    repository.run("dvc", "repro", "--force", "--single-item", outputs.PIPELINE.as_posix())
    assert {path: digest(path) for path in kept} == before
    assert len(repository.table("SELECT run_uuid FROM runs")) == 8


@pytest.mark.usefixtures("resumed")
def test_a_changed_experiment_trains_alone(repository: Repository) -> None:
    path = repository.folder / PARAMS
    before = path.read_text(encoding="utf-8")
    yaml = YAML(typ="safe")
    raw = yaml.load(before)
    raw["experiments"]["Baseline"]["epochs"] = 3
    with path.open("w", encoding="utf-8") as file:
        yaml.dump(raw, file)
    shown = repository.run(*COMMAND)
    path.write_text(before, encoding="utf-8")
    folds = [line for line in shown.splitlines() if ", fold " in line]
    kept = [line.endswith("kept from an earlier run") for line in folds]
    assert kept == [False] * 3 + [True] * 3


@pytest.mark.usefixtures("resumed")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--folds", "40"), "use --folds"),
        (("ModelZ",), "use one of Baseline"),
    ],
)
def test_what_cannot_be_done_is_said_on_one_line(
    repository: Repository, arguments: tuple[str, ...], said: str
) -> None:
    stage = (repository.folder / outputs.PIPELINE).read_bytes()
    output = repository.run(*COMMAND[:3], *arguments, fails=True)
    (line,) = (each for each in output.splitlines() if not each.endswith(" ..."))
    assert said in line
    assert (repository.folder / outputs.PIPELINE).read_bytes() == stage
