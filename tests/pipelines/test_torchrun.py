"""`torchrun -m pipelines.train`: one run and one set of files, whatever befalls the processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch
import yaml

from src import paths
from src.config import PARAMS, load_params
from src.files import write_json
from src.models.network import load_state
from src.models.weights import random_weights
from src.tracking.record import RunRecord
from src.tracking.store import open_store
from tests import fabricate
from tests.shipped import SHIPPED
from tests.tracking.projects import Project

ROOT = Path(__file__).parents[2]
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2")
COMMAND = ("-m", "pipelines.train")
BACKBONE, NAME = "mobilenet_v3_small", "Whole"
# Trains with a checkpoint after each epoch, and meets with something after the second.
DISASTER = """
import os, signal, sys, time
from datetime import timedelta
from pipelines import train
from src import cli
from src.training import checkpoint, loop, ranks

FAULT = sys.argv.pop()
checkpoint.SECONDS_BETWEEN = 0.0
number, restarts = int(os.environ["RANK"]), int(os.environ["TORCHELASTIC_RESTART_COUNT"])
choose = loop.choose

def meet(history, select):
    if len(history) == 3 and not restarts and os.path.exists("before"):
        kind, rank = FAULT.split("-")
        if number == int(rank):
            os.unlink("before")
            if kind in ("silent", "asleep"):
                time.sleep(600)
            os.kill(os.getpid(), signal.SIGKILL)
    return choose(history, select)

loop.choose = meet
if "silent" in FAULT:
    ranks.TIMEOUT = timedelta(seconds=15)
cli.run(train.main)
"""


@pytest.fixture
def experiment(project: Project) -> Project:
    """An experiment whose network trains, and one whose head alone does."""
    params = yaml.safe_load((SHIPPED / PARAMS).read_text())
    alike = {"batch_size": 9, "epochs": 4, "learning_rate": 0.0001}
    params["experiments"] = {
        NAME: {**alike, "train": ["all"]},
        "Head": {**alike, "train": ["head"]},
    }
    params["data"]["image_size"], params["seeds"] = 32, 1
    params["model"] = {"backbone": BACKBONE, "stem": "standard"}
    write_json(PARAMS, params)
    fabricate.faces(("ann", "bob", "eve"), train=6).save(paths.FACES)
    random_weights(BACKBONE, 0).save(paths.SOURCE)
    return project


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, env=environment(), capture_output=True, text=True, check=False, timeout=300
    )


def runs() -> list[tuple[str, str]]:
    """Names and statuses of MLflow's runs."""
    store = open_store(load_params().tracking.experiment)
    found = store.client.search_runs([store.experiment_id])
    return sorted((run.info.run_name, run.info.status) for run in found)


def outputs() -> dict[str, bytes]:
    files = (paths.model, paths.curves, paths.weight_change, paths.train_metrics)
    return {path(NAME).as_posix(): path(NAME).read_bytes() for path in files}


@pytest.mark.long
@pytest.mark.pipeline
def test_two_processes_give_one_run_and_the_network_of_one(experiment: Project) -> None:
    done = run(*TORCHRUN, *COMMAND, NAME)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(f"{NAME}: validation") == 1
    assert runs() == [(NAME, "FINISHED")]
    record = RunRecord.read(paths.run_record(NAME))
    assert record.tags["fingerprint.ranks"] == "2"
    assert [epoch.step for epoch in record.epochs] == [1, 2, 3, 4]
    assert not list(paths.SCRATCH.glob("*.checkpoint"))
    shared, _ = load_state(paths.model(NAME))
    assert run(sys.executable, *COMMAND, NAME).returncode == 0
    alone, _ = load_state(paths.model(NAME))
    assert shared.keys() == alone.keys()  # tests/training/test_distributed.py looks closer
    one, two = (
        torch.cat([each.double().flatten() for each in state.values()]) for state in (alone, shared)
    )
    assert (two - one).norm() <= 1e-2 * one.norm()


@pytest.mark.long
@pytest.mark.pipeline
def test_an_experiment_of_a_head_is_refused_on_one_line_before_a_run_starts(
    experiment: Project,
) -> None:
    done = run(*TORCHRUN, *COMMAND, "Head")
    assert done.returncode == 1  # torchrun's own, after its report that the first ended with 2
    said = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert said == [
        "error: experiments.Head: only its head trains, which takes one process seconds; "
        "run python -m pipelines.train Head"
    ]
    assert "exitcode  : 2" in done.stderr and "pipelines/train.py" not in done.stderr
    assert runs() == []


def disaster(fault: str, *options: str) -> subprocess.CompletedProcess[str]:
    Path("disaster.py").write_text(DISASTER)
    Path("before").touch()
    return run(*TORCHRUN, *options, "disaster.py", NAME, fault)


@pytest.mark.faults
@pytest.mark.parametrize("rank", [0, 1])
def test_a_training_of_which_a_rank_was_killed_resumes_to_the_same_bytes(
    experiment: Project, rank: int
) -> None:
    whole = disaster("none-2")
    assert whole.returncode == 0, whole.stderr
    expected = outputs()
    killed = disaster(f"killed-{rank}")
    assert killed.returncode == 1
    assert (paths.SCRATCH / f"{NAME}-seed0.checkpoint").exists()
    assert outputs() == expected  # those of the first training, still whole
    again = run(*TORCHRUN, *COMMAND, NAME)
    assert again.returncode == 0, again.stderr
    assert outputs() == expected
    statuses = [status for _, status in runs()]
    assert statuses.count("FINISHED") == 2 and len(statuses) == 3
    assert "RUNNING" not in statuses


@pytest.mark.faults
def test_torchrun_restarts_a_training_to_the_same_bytes(experiment: Project) -> None:
    whole = disaster("none-2")
    expected = outputs()
    restarted = disaster("killed-1", "--max-restarts", "1")
    assert (whole.returncode, restarted.returncode) == (0, 0), restarted.stderr
    assert outputs() == expected
    statuses = [status for _, status in runs()]
    assert statuses.count("FINISHED") == 2 and "RUNNING" not in statuses
    assert [epoch.step for epoch in RunRecord.read(paths.run_record(NAME)).epochs] == [1, 2, 3, 4]


@pytest.mark.faults
def test_a_rank_that_is_silent_is_not_waited_for(experiment: Project) -> None:
    done = disaster("silent-1")
    assert done.returncode == 1
    assert not Path("before").exists()
    assert "error: rank 0 of 2: another rank has ended, or was silent for 0:00:15" in done.stderr
    assert [status for _, status in runs()] == ["FAILED"]


@pytest.mark.faults
def test_stopping_torchrun_ends_all_within_seconds(experiment: Project) -> None:
    Path("disaster.py").write_text(DISASTER)
    Path("before").touch()
    command = (*TORCHRUN, "disaster.py", NAME, "asleep-1")
    with subprocess.Popen(command, env=environment(), stderr=subprocess.DEVNULL) as process:
        while Path("before").exists():  # until one rank is silent and the other waits for it
            assert process.poll() is None
            time.sleep(0.1)
        ranks = psutil.Process(process.pid).children(recursive=True)
        assert len(ranks) >= 2
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=10)
        assert not psutil.wait_procs(ranks, timeout=1)[1]
    assert [status for _, status in runs()] != ["FINISHED"]
    assert run(*TORCHRUN, *COMMAND, NAME).returncode == 0
    assert sorted(status for _, status in runs())[0] == "FINISHED"
    assert "RUNNING" not in [status for _, status in runs()]
