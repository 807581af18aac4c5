"""A run tells MLflow everything, costs little, and always ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from src.data.faceset import FaceSet
from src.files import digest
from src.tracking import live, writing
from src.tracking.provenance import dataset_version, provenance
from src.tracking.record import MetricPoint
from src.tracking.run import track
from src.tracking.store import Store, open_store
from src.tracking.writing import fill_run, flatten, start_run
from tests.tracking.finished import EPOCH_KEYS, finish_run
from tests.tracking.projects import EXPERIMENT, Project
from tests.tracking.runs import WAITING, only_run


def test_a_finished_run_is_all_there(project: Project) -> None:
    record = finish_run(project)
    run = only_run("ModelA")
    assert (run.info.run_id, run.info.status) == (record.run_id, "FINISHED")
    assert run.data.params == {
        "data.image_size": "32",
        "data.classes": "{}",
        "seed": "0",
        "experiment.train": '["head"]',
        "experiment.head.hidden": "[]",
        "note": "text",
    }
    system = {key for key in run.data.metrics if key.startswith("system/")}
    assert "system/cpu_utilization_percentage" in system
    finals = {"best_epoch", "best_val/accuracy", "trainable_parameters"}
    assert set(run.data.metrics) - system == {*EPOCH_KEYS, *finals}
    history = open_store(EXPERIMENT).client.get_metric_history(record.run_id, "val/accuracy")
    assert [(point.step, point.value) for point in history] == [(1, 0.1), (2, 0.2), (3, 0.3)]


def test_runs_of_different_experiments_have_a_file_under_one_name(project: Project) -> None:
    record = Path("runs/ModelB.json")
    for each in (finish_run(project), finish_run(project, record)):
        client = open_store(EXPERIMENT).client
        (file,) = client.list_artifacts(each.run_id)
        assert file.path == "curves.csv"
        stored = client.download_artifacts(each.run_id, file.path)
        assert Path(stored).read_bytes() == project.curves.read_bytes()


def test_the_run_names_its_dataset_code_and_stage(project: Project) -> None:
    finish_run(project)
    run = only_run("ModelA")
    (given,) = run.inputs.dataset_inputs
    assert (given.dataset.name, given.dataset.digest) == ("synthetic", digest(project.faces))
    assert [(tag.key, tag.value) for tag in given.tags] == [("mlflow.data.context", "training")]
    assert run.data.tags["data.md5"] == digest(project.faces)
    assert run.data.tags["dvc.stage"] == "train@ModelA"
    assert run.data.tags["device"] == "cpu"
    assert {"version.torch", "version.mlflow", "version.python"} <= set(run.data.tags)


def test_commit_dirtiness_experiment_and_origin_come_from_git_and_dvc(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def git(*arguments: str) -> str:
        author = ("-c", "user.name=a", "-c", "user.email=a@example.org")
        done = subprocess.run(
            ["git", *author, *arguments], check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    Path("params.yaml").write_text("seed: 0\n")
    Path(".gitignore").write_text("/mlruns\n")
    git("init")
    git("add", "params.yaml")
    git("commit", "-m", "first")
    Path("dvc.lock").write_text(
        "stages: {dataset: {cmd: x, deps: [{path: data/own, md5: 0f.dir}, {path: src}]}}"
    )
    monkeypatch.setenv("DVC_EXP_NAME", "tall-fir")
    tags = finish_run(project, origin="./data/own").tags
    assert tags["git.commit"] == git("rev-parse", "HEAD")
    assert (tags["git.dirty"], tags["dvc.experiment"]) == ("false", "tall-fir")
    assert tags["data.origin_md5"] == "0f.dir"
    Path("params.yaml").write_text("seed: 1\n")
    assert finish_run(project, Path("runs/Dirty.json")).tags["git.dirty"] == "true"


@pytest.mark.parametrize("changed", ["params.yaml", "src/new/module.py"])
def test_a_changed_or_an_untracked_source_is_dirty_wherever_the_run_is_made(
    project: Project, monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    for command in (
        ("init",),
        ("config", "status.showUntrackedFiles", "no"),
        ("add", "params.yaml"),
        ("-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "-m", "first"),
    ):
        subprocess.run(["git", *command], check=True, capture_output=True)
    inside = Path("studies/one")
    inside.mkdir(parents=True)
    assert inside_tags(inside, monkeypatch)["git.dirty"] == "false"
    Path(changed).parent.mkdir(parents=True, exist_ok=True)
    Path(changed).write_text("seed: 1\n")
    assert inside_tags(inside, monkeypatch)["git.dirty"] == "true"


def inside_tags(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    with monkeypatch.context() as patch:
        patch.chdir(folder)
        return provenance("train@ModelA", None)


def test_an_exception_ends_the_run_failed_without_a_record(project: Project) -> None:
    with (
        pytest.raises(ZeroDivisionError),
        track(
            experiment=EXPERIMENT,
            name="Bad",
            params={},
            dataset=None,
            stage="s",
            record=project.record,
        ) as run,
    ):
        run.log_epoch(1, {"train/loss": 1.0})
        _ = 1 / 0
    found = only_run("Bad")
    assert found.info.status == "FAILED"
    assert found.data.metrics["train/loss"] == 1.0
    assert found.data.tags["error"] == "ZeroDivisionError: division by zero"
    assert not project.record.exists()


def test_an_earlier_record_survives_a_failure(project: Project) -> None:
    finish_run(project)
    before = project.record.read_bytes()
    with (
        pytest.raises(KeyboardInterrupt),
        track(
            experiment=EXPERIMENT,
            name="Stopped",
            params={},
            dataset=None,
            stage="s",
            record=project.record,
        ),
    ):
        raise KeyboardInterrupt
    assert only_run("Stopped").info.status == "KILLED"
    assert project.record.read_bytes() == before


@pytest.mark.faults
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_process_ends_its_run_killed(project: Project, number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WAITING], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "open\n"
        process.send_signal(number)
        assert process.wait(timeout=60) == 130
        assert process.stderr.read() == "stopped\n"
    run = only_run("Waiting")
    assert (run.info.status, run.data.metrics["train/loss"]) == ("KILLED", 1.0)
    assert not Path("runs/W.json").exists()


@pytest.mark.faults
def test_what_a_killed_process_left_open_is_closed_by_the_next_run(project: Project) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WAITING], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "open\n"
        with track(
            experiment=EXPERIMENT,
            name="Other",
            params={},
            dataset=None,
            stage="s",
            record=project.record,
        ):
            assert only_run("Waiting").info.status == "RUNNING"  # its process lives
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert only_run("Waiting").info.status == "RUNNING"
    finish_run(project)
    assert only_run("Waiting").info.status == "KILLED"


def test_sixty_quick_epochs_are_written_together_and_leave_no_thread(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []

    def log_points(store: Store, run_id: str, points: Sequence[MetricPoint]) -> None:
        written.append(len(points))
        writing.log_points(store, run_id, points)

    monkeypatch.setattr(live, "log_points", log_points)
    monkeypatch.setattr(live, "FLUSH", float("inf"))
    with track(
        experiment=EXPERIMENT,
        name="Many",
        params={},
        dataset=None,
        stage="s",
        record=project.record,
    ) as run:
        for step in range(60):
            run.log_epoch(step, dict.fromkeys(EPOCH_KEYS, 0.5))
        assert written == []
    assert written.count(60) == 1
    names = {thread.name for thread in threading.enumerate()}
    assert "system-metrics" not in names
    history = open_store(EXPERIMENT).client.get_metric_history(run.run_id, "lr")
    assert [point.step for point in history] == list(range(60))


def test_a_loss_that_became_nan_is_kept(project: Project) -> None:
    from src.tracking.record import RunRecord

    with track(
        experiment=EXPERIMENT, name="Nan", params={}, dataset=None, stage="s", record=project.record
    ) as run:
        run.log_epoch(1, {"train/loss": float("nan"), "val/loss": float("inf")})
    (epoch,) = RunRecord.read(project.record).epochs
    assert repr(epoch.metrics) == "{'train/loss': nan, 'val/loss': inf}"


def test_nested_parameters_are_flattened() -> None:
    nested = {"a": {"b": {"c": 1e-3}, "d": [1, 2]}, "e": None, "f": True, "g": {}, "h": "x y"}
    assert flatten(nested) == {
        "a.b.c": "0.001",
        "a.d": "[1, 2]",
        "e": "null",
        "f": "true",
        "g": "{}",
        "h": "x y",
    }


def test_a_dataset_that_another_process_has_just_logged_is_logged_too(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow looks for the dataset, draws an id, and adds it; here the other is in between."""
    from mlflow.store.tracking import sqlalchemy_store

    store = open_store(EXPERIMENT)
    version = dataset_version(project.faces, FaceSet.load(project.faces), "faces.tar.gz")
    first, second = (start_run(store, name, 1, {}, {}, None) for name in ("first", "second"))
    draw = sqlalchemy_store.uuid.uuid4

    def draw_late() -> object:
        monkeypatch.setattr(sqlalchemy_store.uuid, "uuid4", draw)
        fill_run(store, second, {}, version)
        return draw()

    monkeypatch.setattr(sqlalchemy_store.uuid, "uuid4", draw_late)
    fill_run(store, first, {}, version)
    logged = [store.client.get_run(run_id).inputs.dataset_inputs for run_id in (first, second)]
    assert [[each.dataset.digest for each in inputs] for inputs in logged] == 2 * [[version.md5]]
