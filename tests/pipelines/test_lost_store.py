"""Evaluation and registration without MLflow's server: one line, and a rerun completes them."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from src import paths
from src.closure import ROOT
from src.config import PARAMS, read_yaml
from src.errors import TrackingError
from src.files import write_json
from src.tracking import __main__ as command
from src.tracking.champion import champion_of
from src.tracking.reconcile import log_test
from src.tracking.registry import promote
from src.tracking.store import open_store
from tests.pipelines.evaluated import NAMES, prepare
from tests.tracking.finished import finish_run
from tests.tracking.projects import EXPERIMENT, MODEL, Project
from tests.tracking.servers import Server

pytestmark = pytest.mark.faults


def stage(name: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", f"pipelines.{name}"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def finished(project: Project, offline: bool) -> None:
    """Both experiments trained, the second better; `tracking.offline` as given."""
    prepare()
    params = dict(read_yaml(PARAMS))
    write_json(PARAMS, {**params, "tracking": {**params["tracking"], "offline": offline}})
    for name, accuracy in zip(NAMES, (0.6, 0.7), strict=True):
        own, record = Project(project.root, model=paths.model(name)), paths.run_record(name)
        finish_run(own, record, offline=offline)
        val = {"accuracy": accuracy}
        write_json(paths.train_metrics(name), {"val": val, "trainable_parameters": 1})


def scored() -> list[str]:
    """Names of the runs with test scores."""
    store = open_store(EXPERIMENT)
    runs = store.client.search_runs([store.experiment_id], "metrics.`test/accuracy` >= 0")
    return sorted(run.info.run_name for run in runs)


def test_without_its_server_each_is_one_line_and_complete_when_repeated(
    project: Project, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://{server.address}")
    finished(project, offline=False)
    server.kill()
    for name in ("evaluate", "register"):
        done = stage(name)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert "no server answers there" in done.stderr
    assert not paths.REGISTERED.exists()
    with pytest.raises(TrackingError, match=r"is lost .*; run the same command when it is back$"):
        log_test(paths.run_record("ModelA"), {"accuracy": 0.5})  # this process has it open
    with pytest.raises(TrackingError, match="is lost"):
        promote(paths.run_record("ModelA"), 0.7, MODEL)

    server.start()
    assert (stage("evaluate").returncode, stage("register").returncode) == (0, 0)
    assert scored() == ["Baseline", "ModelA"]
    assert champion_of(MODEL).name.startswith(f"models:/{MODEL}/1 (ModelA ")


def test_offline_both_need_no_store_and_reconcile_sends_what_they_found(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished(project, offline=True)
    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")  # where nothing listens
        done = [stage(name) for name in ("evaluate", "register")]
    assert [(each.returncode, each.stderr) for each in done] == [(0, ""), (0, "")]
    assert "ModelA is registered by `python -m src.tracking reconcile`" in done[1].stdout
    assert scored() == []
    assert command.main(["reconcile"]) == 0
    assert scored() == ["Baseline", "ModelA"]
    assert champion_of(MODEL).name.startswith(f"models:/{MODEL}/1 (ModelA ")
