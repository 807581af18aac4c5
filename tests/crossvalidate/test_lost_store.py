"""Figures are written without the MLflow server, and running the stage again sends them, once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.crossvalidate import run
from src import paths
from src.config import Params
from src.crossvalidate import outputs
from src.data.faceset import FaceSet
from src.models.weights import random_weights
from src.tracking.store import open_store
from tests.tracking.projects import EXPERIMENT, Project
from tests.tracking.servers import Server, new_server

pytestmark = pytest.mark.faults


@pytest.fixture
def server(blueprint: Path, tmp_path: Path) -> Iterator[Server]:
    made = new_server(tmp_path / "server", blueprint / "mlruns" / "mlflow.db")
    yield made
    made.kill()


def test_figures_outlive_the_server_and_are_sent_later(
    project: Project,
    params: Params,
    rendered: FaceSet,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri := f"http://{server.address}")
    rendered.save(paths.FACES)
    paths.SOURCE.parent.mkdir(exist_ok=True)
    random_weights("resnet18", 0).save(paths.SOURCE)
    run(["Baseline"], 3, params)
    printed = capsys.readouterr().err
    assert (
        printed.count("warning: ") == 1 and f"warning: {uri}: the MLflow store is lost" in printed
    )
    assert "send it later with `dvc repro --force --single-item" in printed
    metrics = outputs.METRICS.read_bytes()
    assert json.loads(metrics)["Baseline"]["images"] == len(rendered)

    offline = params.tracking.model_copy(update={"offline": True})
    run(["Baseline"], 3, params.model_copy(update={"tracking": offline}))
    said = capsys.readouterr()
    assert "warning" not in said.err and "`dvc repro --force --single-item" in said.out
    assert outputs.METRICS.read_bytes() == metrics

    server.start()
    for _ in range(2):
        run(["Baseline"], 3, params)
        assert "trained in" not in capsys.readouterr().out
        assert outputs.METRICS.read_bytes() == metrics
        store = open_store(EXPERIMENT)
        runs = store.client.search_runs([store.experiment_id])
        names = ["Baseline-3-folds", *(f"Baseline-fold{k}" for k in (1, 2, 3))]
        assert sorted(each.info.run_name for each in runs) == sorted(names)
        assert {each.info.status for each in runs} == {"FINISHED"}
