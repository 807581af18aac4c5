"""Killed processes and shared storages: every trial is run once, and none is lost."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from optuna.trial import TrialState

from src.tune.storage import WORKER
from tests.tune.conftest import command
from tests.tune.postgres import server
from tests.tune.processes import (
    PATIENCE,
    assert_each_ran_once,
    finished,
    states,
    trials,
    wait_for,
    workers,
)

pytestmark = [pytest.mark.faults, pytest.mark.usefixtures("here")]


def start(*argv: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command("--no-mlflow", *argv))


def test_a_sqlite_study_killed_in_the_middle_ends_with_its_trials_and_no_other() -> None:
    url, argv = "sqlite:///mlruns/optuna.db", ("--trials", "14", "--epochs", "60")
    process = start(*argv)
    database = Path("mlruns/optuna.db")
    wait_for(lambda: database.exists() and finished(url) >= 4, process)
    wait_for(lambda: states(url)[TrialState.RUNNING] > 0, process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert states(url)[TrialState.RUNNING] > 0
    assert start(*argv).wait(PATIENCE) == 0
    assert_each_ran_once(url, 14)
    assert len(trials(url)) == 14


def test_ctrl_c_leaves_no_trial_running_and_the_next_call_resumes() -> None:
    url, argv = "sqlite:///mlruns/optuna.db", ("--trials", "14", "--epochs", "60")
    process = start(*argv)
    wait_for(lambda: Path("mlruns/optuna.db").exists() and finished(url) >= 4, process)
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE) == 130
    assert states(url)[TrialState.RUNNING] == 0 and finished(url) < 14
    assert start(*argv).wait(PATIENCE) == 0
    assert_each_ran_once(url, 14)


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    with server() as url:
        yield url


def test_three_workers_share_a_postgresql_study_though_one_is_killed(postgres: str) -> None:
    argv = ("--trials", "24", "--epochs", "200", "--wave", "2", "--storage", postgres)
    process = start(*argv, "--workers", "3")

    def together() -> list[int]:
        # Two at once are sure to come; whether all three overlap is up to the machine.
        found = workers(postgres)
        return found if len(found) >= 2 else []

    killed = wait_for(together, process)[0]
    os.kill(killed, signal.SIGKILL)
    assert process.wait(PATIENCE) == 0
    assert_each_ran_once(postgres, 24)
    lost = [trial for trial in trials(postgres) if trial.state == TrialState.FAIL]
    assert {trial.user_attrs.get(WORKER, "").rsplit(":", 1)[-1] for trial in lost} >= {str(killed)}
    assert start(*argv).wait(PATIENCE) == 0, "a finished study is only reported on"
    assert_each_ran_once(postgres, 24)
