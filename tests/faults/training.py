"""A training that logs until it is told to stop, for tests that break what is behind its server."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from src.closure import ROOT
from src.files import digest
from src.tracking.model import has_files
from src.tracking.reconcile import ensure_run
from src.tracking.record import RunRecord
from src.tracking.store import open_store
from tests.tracking.projects import EXPERIMENT, Project
from tests.tracking.servers import Server

PROGRAM = """
import os, time
from itertools import count
from pathlib import Path
from src import cli
from src.data.faceset import FaceSet
from src.tracking import live
from src.tracking.run import track
from tests.tracking.projects import Project

live.FLUSH = 0
os.environ["MLFLOW_TRACKING_URI"] = os.environ["GIVEN_URI"]  # which importing the tests unsets

def main(argv):
    project = Project(Path.cwd())
    with track(
        experiment="face-finetune",
        name="ModelA",
        params={"note": "text"},
        dataset=None,
        stage="s",
        record=project.record,
    ) as run:
        for step in count(1):
            run.log_epoch(step, {"train/loss": step / 10})
            Path("epochs").write_text(str(step))
            if Path("stop").exists():
                break
            time.sleep(0.02)
        run.log_finals({"best_epoch": 1})
        run.log_artifact(project.curves)
        images = FaceSet.load(project.faces).images
        run.log_model(project.model, images[:2].permute(0, 2, 3, 1).numpy())

cli.run(main)
"""
PATIENCE = 100.0  # seconds


def wait_for(what: Callable[[], bool]) -> None:
    limit = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < limit
        time.sleep(0.05)


class Training:
    """The training, running in the folder of `project`."""

    def __init__(self, project: Project, server: Server) -> None:
        self.project = project
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            cwd=project.root,
            env={**os.environ, "GIVEN_URI": f"http://{server.address}", "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.log_epochs(3)

    def log_epochs(self, number: int) -> None:
        """Wait until it has logged, or failed to log, so many more epochs."""
        last = self._epochs() + number
        wait_for(lambda: self._epochs() >= last or self.process.poll() is not None)

    def _epochs(self) -> int:
        path = self.project.root / "epochs"
        return int(path.read_text() or 0) if path.exists() else 0

    def end(self) -> str:
        """Let it end by itself; what it printed to stderr."""
        (self.project.root / "stop").touch()
        out, err = self.process.communicate(timeout=PATIENCE)
        assert (self.process.returncode, out) == (0, ""), err
        return err


def command(project: Project, server: Server, *argv: str) -> subprocess.CompletedProcess[str]:
    """A command of the project, in its folder."""
    return subprocess.run(
        [sys.executable, "-m", *argv],
        cwd=project.root,
        env={
            **os.environ,
            "MLFLOW_TRACKING_URI": f"http://{server.address}",
            "PYTHONPATH": str(ROOT),
        },
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def assert_loss_is_one_line(err: str) -> None:
    """All that was said is one warning, that the store is lost."""
    assert err.startswith("warning: ") and err.count("\n") == 1, err
    assert "store is lost" in err and err.endswith("`python -m src.tracking reconcile`\n"), err


def assert_completed_once(
    project: Project, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run is complete on the server after `reconcile`, once, however often that is run."""
    uri = f"http://{server.address}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert ensure_run(project.record) == ensure_run(project.record)
    record, store = RunRecord.read(project.record), open_store(EXPERIMENT)
    since = f"attributes.start_time >= {record.started}"  # other tests may share the server
    (run,) = store.client.search_runs([store.experiment_id], since)
    assert (run.info.run_name, run.info.status) == ("ModelA", "FINISHED")
    history = store.client.get_metric_history(run.info.run_id, "train/loss")
    assert [(each.step, each.value) for each in history] == [
        (epoch.step, epoch.metrics["train/loss"]) for epoch in record.epochs
    ]
    files = store.client.list_artifacts(run.info.run_id)
    assert "ModelA.csv" in [file.path for file in files]
    models = store.client.search_logged_models([store.experiment_id])
    (model,) = [each for each in models if each.creation_timestamp >= record.started]
    assert model.source_run_id == run.info.run_id
    assert has_files(store, model.artifact_location, digest(project.model))
