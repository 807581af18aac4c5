"""A training that is killed while its run is recorded is not trained again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from src import paths
from src.closure import ROOT
from src.config import PARAMS
from src.files import write_json
from src.models.weights import random_weights
from src.tracking.record import RunRecord
from tests import fabricate
from tests.shipped import SHIPPED
from tests.tracking.projects import Project

pytestmark = pytest.mark.faults
NAME, BACKBONE = "One", "mobilenet_v3_small"
RECORDING, EPOCH = "src.tracking.record.RunRecord.write", "src.training.loop._epoch"
KILL = """
import os, pkgutil, signal, sys
from pipelines import train
from src.training import checkpoint

checkpoint.SECONDS_BETWEEN = 0.0
place, _, method = sys.argv[2].rpartition(".")
setattr(pkgutil.resolve_name(place), method, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
train.main(sys.argv[1:2])
"""


def python(*arguments: str) -> int:
    """The exit code of another Python, with this project's code."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, *arguments], env=environment, check=False).returncode


def test_a_training_killed_while_its_run_is_recorded_is_not_trained_again(
    project: Project,
) -> None:
    params = yaml.safe_load((SHIPPED / PARAMS).read_text())
    params["experiments"] = {NAME: {"train": ["all"], "batch_size": 8, "epochs": 2}}
    params["data"]["image_size"] = 32
    params["model"] = {"backbone": BACKBONE, "stem": "standard"}
    params["seeds"] = 1
    write_json(PARAMS, params)
    fabricate.faces(("ann", "bob", "eve"), train=6).save(paths.FACES)
    random_weights(BACKBONE, 0).save(paths.SOURCE)

    assert python("-c", KILL, NAME, RECORDING) == -signal.SIGKILL
    assert not paths.run_record(NAME).exists()
    for path in outputs():  # as DVC does before it runs a stage again
        path.unlink(missing_ok=True)
    assert python("-c", KILL, NAME, EPOCH) == 0
    assert all(path.exists() for path in outputs())
    assert [epoch.step for epoch in RunRecord.read(paths.run_record(NAME)).epochs] == [1, 2]
    assert not [*paths.SCRATCH.glob("*.checkpoint")]


def outputs() -> list[Path]:
    made = (paths.model, paths.seed_models, paths.curves, paths.weight_change, paths.layers)
    return [path(NAME) for path in (*made, paths.run_record, paths.train_metrics)]
