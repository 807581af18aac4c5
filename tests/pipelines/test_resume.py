"""A training that was killed goes on to the files and the run of one that never was."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from src import paths
from src.config import PARAMS, load_params
from src.files import write_json
from src.models.network import load_state
from src.models.seeds import load_seed_states
from src.models.weights import random_weights
from src.tracking.record import RunRecord
from src.tracking.store import open_store
from tests import fabricate
from tests.shipped import SHIPPED
from tests.tracking.projects import Project

pytestmark = pytest.mark.faults
ROOT = Path(__file__).parents[2]
WHOLE, KILLED, SEEDS, BACKBONE = "Whole", "Killed", "Seeds", "mobilenet_v3_small"
TIMES = {"seconds_per_epoch", "images_per_second"}
KILL_AFTER_TWO = """
import os, signal, sys
from pipelines import train
from src.training import checkpoint

save, checkpoint.SECONDS_BETWEEN = checkpoint.Checkpoint.save, 0.0

def save_and_die(self, state, history, *, ended):
    save(self, state, history, ended=ended)
    if len(history) == 2 and f"-seed{sys.argv[2]}." in self.path.name:
        os.kill(os.getpid(), signal.SIGKILL)

checkpoint.Checkpoint.save = save_and_die
train.main(sys.argv[1:2])
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
    params["experiments"], params["data"]["image_size"] = (
        {
            WHOLE: alike,
            KILLED: alike,
            SEEDS: {**alike, "seeds": 2},
        },
        32,
    )
    params["model"] = {"backbone": BACKBONE, "stem": "standard"}
    params["seeds"] = 1
    write_json(PARAMS, params)
    fabricate.faces(("ann", "bob", "eve"), train=6).save(paths.FACES)
    random_weights(BACKBONE, 0).save(paths.SOURCE)
    assert python("-m", "pipelines.train", WHOLE) == 0
    assert python("-c", KILL_AFTER_TWO, KILLED, "0") == -signal.SIGKILL
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


def test_a_seed_that_had_finished_before_a_kill_is_not_trained_again(killed: Project) -> None:
    assert python("-c", KILL_AFTER_TWO, SEEDS, "1") == -signal.SIGKILL
    kept = paths.SCRATCH / f"{SEEDS}-seed0.checkpoint"
    written = kept.stat().st_mtime_ns
    # Only an epoch would write it again: the seed's history is complete.
    assert python("-c", KILL_AFTER_TWO.replace("== 2", "== 3"), SEEDS, "1") == -signal.SIGKILL
    assert kept.stat().st_mtime_ns == written
    assert python("-m", "pipelines.train", SEEDS) == 0
    assert not list(paths.SCRATCH.glob(f"{SEEDS}-*.checkpoint"))
    assert paths.model(SEEDS).read_bytes() == paths.model(WHOLE).read_bytes()
    record = RunRecord.read(paths.run_record(SEEDS))
    assert [len(seed.epochs) for seed in record.seeds] == [4, 4]
    store = open_store(load_params().tracking.experiment)
    runs = store.client.search_runs([store.experiment_id])
    finished = sorted(run.info.run_name for run in runs if run.info.status == "FINISHED")
    assert finished == [SEEDS, f"{SEEDS}-seed0", f"{SEEDS}-seed1", WHOLE]
    assert not [run for run in runs if run.info.status == "RUNNING"]

    params = yaml.safe_load(PARAMS.read_text())
    metrics = json.loads(paths.train_metrics(SEEDS).read_text())
    accuracies = [seed.finals["best_val/accuracy"] for seed in record.seeds]
    assert metrics["seeds"] == 2
    assert metrics["val"]["accuracy"] == pytest.approx(np.mean(accuracies), abs=1e-6)
    assert metrics["val"]["accuracy_sd"] == pytest.approx(np.std(accuracies, ddof=1), abs=1e-6)
    first, second = load_seed_states(paths.seed_models(SEEDS), load_state(paths.model(SEEDS))[0])
    write_json(PARAMS, params | {"seed": 1})
    assert python("-m", "pipelines.train", WHOLE) == 0
    alone, _ = load_state(paths.model(WHOLE))
    assert all(torch.equal(second[name], tensor) for name, tensor in alone.items())
    assert not all(torch.equal(first[name], tensor) for name, tensor in alone.items())
