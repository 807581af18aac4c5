"""A training that was killed goes on to the files and the run of one that never was."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from src import paths
from src.config import PARAMS, load_params
from src.files import write_json
from src.models.weights import random_weights
from src.tracking.record import RunRecord
from src.tracking.store import open_store
from tests import fabricate
from tests.shipped import SHIPPED
from tests.tracking.projects import Project

pytestmark = pytest.mark.pipeline
ROOT = Path(__file__).parents[2]
WHOLE, KILLED, BACKBONE = "Whole", "Killed", "mobilenet_v3_small"
TIMES = {"seconds/epoch", "images/second"}
KILL_AFTER_TWO = """
import os, signal, sys
from pipelines import train
from src.training import checkpoint

save, checkpoint.SECONDS_BETWEEN = checkpoint.Checkpoint.save, 0.0

def save_and_die(self, state, history):
    save(self, state, history)
    if len(history) == 2:
        os.kill(os.getpid(), signal.SIGKILL)

checkpoint.Checkpoint.save = save_and_die
train.main(sys.argv[1:])
"""


def python(*arguments: str) -> int:
    """The exit code of another Python, with this project's code."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, *arguments], env=environment, check=False).returncode


@pytest.fixture
def killed(project: Project) -> Project:
    """Two experiments alike: one trained in one go, the other killed after two of four epochs."""
    params = yaml.safe_load((SHIPPED / PARAMS).read_text())
    alike = {"train": ["all"], "batch_size": 8, "epochs": 4}
    params["experiments"], params["data"]["image_size"] = {WHOLE: alike, KILLED: alike}, 32
    params["model"] = {"backbone": BACKBONE, "stem": "standard"}
    write_json(PARAMS, params)
    fabricate.faces(("ann", "bob", "eve"), train=6).save(paths.FACES)
    random_weights(BACKBONE, 0).save(paths.SOURCE)
    assert python("-m", "pipelines.train", WHOLE) == 0
    assert python("-c", KILL_AFTER_TWO, KILLED) == -signal.SIGKILL
    assert not paths.run_record(KILLED).exists()
    return project


def test_a_killed_training_resumes_to_a_complete_run(killed: Project) -> None:
    (point,) = paths.SCRATCH.glob("*.checkpoint")
    assert python("-m", "pipelines.train", KILLED) == 0
    assert not point.exists()
    store = open_store(load_params().tracking.experiment)
    runs = store.client.search_runs([store.experiment_id])
    assert sorted((run.info.run_name, run.info.status) for run in runs) == [
        (KILLED, "FINISHED"),
        (KILLED, "KILLED"),
        (WHOLE, "FINISHED"),
    ]

    def history(record: RunRecord) -> dict[str, list[tuple[int, float]]]:
        keys = record.epochs[0].metrics.keys() - TIMES
        points = {key: store.client.get_metric_history(record.run_id, key) for key in keys}
        return {key: [(point.step, point.value) for point in points[key]] for key in keys}

    whole, resumed = (RunRecord.read(paths.run_record(name)) for name in (WHOLE, KILLED))
    assert history(resumed) == history(whole)
    assert [step for step, _ in history(resumed)["val/loss"]] == [1, 2, 3, 4]
    assert [epoch.step for epoch in resumed.epochs] == [1, 2, 3, 4]
    assert all(epoch.metrics.keys() >= TIMES for epoch in resumed.epochs)
    for path in (paths.curves, paths.weight_change, paths.train_metrics, paths.model):
        assert path(KILLED).read_bytes() == path(WHOLE).read_bytes()
