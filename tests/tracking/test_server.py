"""A server shows no password, is not waited for, and may be lost while a run goes on."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from src.closure import ROOT
from src.errors import TrackingError
from src.tracking.address import check_answers
from src.tracking.reconcile import ensure_run
from src.tracking.record import RunRecord
from src.tracking.store import open_store
from tests.tracking.projects import EXPERIMENT, Project
from tests.tracking.servers import Server, free_port

SECRET = "hunter2"  # noqa: S105 -- a canary
RUN = """
import os
from src import cli
from tests.tracking.finished import finish_run
from tests.tracking.projects import Project
from pathlib import Path
os.environ["MLFLOW_TRACKING_URI"] = os.environ["GIVEN_URI"]  # which importing the tests unsets
url = "https://ann:hunter2@example.org/weights"
params = {"weights": {"origin": url}}
cli.run(lambda argv: finish_run(Project(Path.cwd()), params=params) and None)
"""


def run(uri: str, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *(command or ("-c", RUN))],
        env={
            **os.environ,
            "GIVEN_URI": uri,
            "PYTHONPATH": str(ROOT),
        },
        capture_output=True,
        text=True,
        check=False,
    )


def canaries(*folders: Path) -> list[Path]:
    """The files in which the password is found."""
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return [path for path in files if SECRET.encode() in path.read_bytes()]


@pytest.mark.faults
def test_a_working_server_leaves_no_password_anywhere(project: Project, server: Server) -> None:
    done = run(f"http://ann:{SECRET}@{server.address}")
    assert done.returncode == 0, done.stderr
    assert SECRET not in done.stdout + done.stderr
    assert "View run" not in done.stdout
    assert project.record.is_file()
    assert not canaries(project.root, server.folder)


@pytest.mark.parametrize(
    "uri",
    [
        f"http://ann:p@{SECRET}@127.0.0.1:{{port}}",
        f"postgresql://ann:{SECRET}@127.0.0.1:{{port}}/r",
    ],
)
def test_a_dead_server_is_one_line_without_the_password(project: Project, uri: str) -> None:
    done = run(uri.format(port=free_port()))
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert done.stderr.startswith("error: ") and "answers there" in done.stderr
    assert SECRET not in done.stderr
    assert not canaries(project.root)


@pytest.mark.parametrize(
    "uri",
    [
        f"http://ann:{SECRET}@127.0.0.1:{{port}}",
        f"http://ann:p/{SECRET}@127.0.0.1:{{port}}",
        f"postgresql://ann:p@{SECRET}@127.0.0.1:{{port}}/runs",
        f"postgresql://ann@127.0.0.1:{{port}}/runs?password={SECRET}",
        f"mongodb://ann:{SECRET}@127.0.0.1:{{port}}/runs",
    ],
)
def test_a_dead_server_is_told_in_seconds(
    project: Project, monkeypatch: pytest.MonkeyPatch, uri: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri.format(port=free_port()))
    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.setenv(name, "")  # so that they are as before afterwards
    import mlflow  # noqa: F401 -- not what is timed

    began = time.monotonic()
    with pytest.raises(TrackingError) as error:
        open_store(EXPERIMENT)
    assert time.monotonic() - began < 10
    assert SECRET not in str(error.value)


@pytest.mark.faults
@pytest.mark.parametrize("scheme", ["http", "postgresql"])
def test_a_server_that_takes_calls_and_never_answers_is_not_waited_for(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        began = time.monotonic()
        with pytest.raises(TrackingError, match="answers there"):
            check_answers(f"{scheme}://127.0.0.1:{listener.getsockname()[1]}")
        assert time.monotonic() - began < 10


LONG = """
import os, sys, time
from pathlib import Path
from src import cli
from src.data.faceset import FaceSet
from src.tracking import live
from src.tracking.run import track
from tests.tracking.projects import Project

live.FLUSH = 0
os.environ["MLFLOW_TRACKING_URI"] = os.environ["GIVEN_URI"]

def main(argv):
    project = Project(Path.cwd())
    with track(
        experiment="face-finetune",
        name="ModelA",
        params={"note": "text"},
        dataset=None,
        stage="s",
        record=project.record,
        seeds=(0, 1),
    ) as run:
        for seed in (0, 1):
            for step in (1, 2, 3):
                run.log_epoch(step, {"train/loss": step / 10 + seed}, seed)
                if (seed, step) == (0, 2):
                    print("open", flush=True)
                    input()
            run.log_finals({"best_epoch": 3}, seed)
        run.log_artifact(project.curves)
        images = FaceSet.load(project.faces).images
        run.log_model(project.model, images[:2].permute(0, 2, 3, 1).numpy())

cli.run(main)
"""


@pytest.mark.faults
def test_a_server_lost_in_mid_run_costs_nothing_and_gets_the_run_later_once(
    project: Project, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = f"http://{server.address}"
    environment = {**os.environ, "GIVEN_URI": uri, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", LONG],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        server.kill()
        began = time.monotonic()
        out, err = process.communicate("\n", timeout=100)
        assert time.monotonic() - began < 30
    assert (process.returncode, out, err.count("\n")) == (0, "", 1), err
    assert err.startswith(f"warning: {uri}: the MLflow store is lost")
    assert RunRecord.read(project.record).sent is False

    server.start()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert ensure_run(project.record) == ensure_run(project.record)
    store = open_store(EXPERIMENT)
    runs = {run.info.run_name: run for run in store.client.search_runs([store.experiment_id])}
    assert runs.keys() == {"ModelA", "ModelA-seed0", "ModelA-seed1"}
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    for seed in (0, 1):
        child = runs[f"ModelA-seed{seed}"].info.run_id
        history = store.client.get_metric_history(child, "train/loss")
        assert [point.value for point in history] == [0.1 + seed, 0.2 + seed, 0.3 + seed]
    parent = runs["ModelA"]
    assert len(parent.outputs.model_outputs) == 1
    files = store.client.list_artifacts(parent.info.run_id)
    assert [file.path for file in files] == ["ModelA.csv"]
    assert len(store.client.search_logged_models([store.experiment_id])) == 1


CHAMPION = """
import os, tempfile
from pathlib import Path
from src import cli
from src.files import digest
from src.models.threshold import Threshold
from src.tracking.champion import champion_of
from src.tracking.registry import promote
from tests.tracking.finished import finish_run
from tests.tracking.projects import MODEL, Project

os.environ["MLFLOW_TRACKING_URI"] = os.environ["GIVEN_URI"]  # which importing the tests unsets
tempfile.tempdir = os.environ["OWN_TEMP"]


def main(argv):
    project = Project(Path.cwd())
    finish_run(project)
    threshold = Path("threshold.safetensors")
    Threshold.nothing(digest(project.model), "ModelA", far=0.1).save(threshold)
    promote(project.record, 0.5, MODEL, threshold)
    champion = champion_of(MODEL)
    assert champion.path.read_bytes() == project.model.read_bytes()
    assert champion.path.is_relative_to(tempfile.tempdir)
    assert champion.threshold and champion.threshold.read_bytes() == threshold.read_bytes()


cli.run(main)
"""


@pytest.mark.faults
def test_a_champion_on_a_server_leaves_no_copies_behind(
    project: Project, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "temporary"
    own.mkdir()
    monkeypatch.setenv("OWN_TEMP", str(own))
    done = run(f"http://{server.address}", "-c", CHAMPION)
    assert (done.returncode, done.stderr) == (0, "")
    assert list(own.iterdir()) == []


OFFLINE = """
import sys
sys.modules["mlflow"] = None  # importing it fails
from pathlib import Path
from src import cli
from tests.tracking.finished import finish_run
from tests.tracking.projects import Project
cli.run(lambda argv: finish_run(Project(Path.cwd()), offline=True) and None)
"""


def test_an_offline_run_needs_no_mlflow_and_is_sent_later_complete(project: Project) -> None:
    shutil.rmtree("mlruns")
    done = run("", "-c", OFFLINE)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not Path("mlruns").exists()
    record = RunRecord.read(project.record)
    assert ensure_run(project.record) == (run_id := ensure_run(project.record)) != record.run_id
    store = open_store(EXPERIMENT)
    (sent,) = store.client.search_runs([store.experiment_id])
    assert (sent.info.run_id, sent.info.status, sent.data.params) == (
        run_id,
        "FINISHED",
        record.params,
    )
    assert set(sent.data.metrics) == {key for point in record.points for key in point.metrics}
    assert len(sent.outputs.model_outputs) == 1
