"""Killed processes and shared storages: every trial is run once, and none is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.exc import OperationalError, ProgrammingError

from src.tune.search import HISTORY
from src.tune.storage import WORKER
from src.tune.study import FINISHED
from tests.tune.conftest import command
from tests.tune.postgres import server

pytestmark = [pytest.mark.faults, pytest.mark.usefixtures("here")]
T = TypeVar("T")
PATIENCE = 300.0  # seconds for a busy machine; a quiet one needs ten


def wait_for(what: Callable[[], T], process: subprocess.Popen[bytes]) -> T:
    deadline = time.monotonic() + PATIENCE
    while not (found := what()):
        assert process.poll() is None, "ended before it could be stopped"
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def start(*argv: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command("--no-mlflow", *argv))


def trials(url: str) -> list[FrozenTrial]:
    """All trials, through a storage that keeps no connection open behind the test's back."""
    storage = optuna.storages.RDBStorage(url, engine_kwargs={"poolclass": NullPool})
    return optuna.load_study(study_name="ModelD", storage=storage).trials


def rows(url: str, query: str, **values: str) -> list[str]:
    """A column read past Optuna, which would make tables beside the process just making them."""
    try:
        with create_engine(url, poolclass=NullPool).connect() as connection:
            return list(connection.execute(text(query), values).scalars())
    except (OperationalError, ProgrammingError):
        return []


def states(url: str) -> Counter[TrialState]:
    return Counter(TrialState[state] for state in rows(url, "SELECT state FROM trials"))


def workers(url: str) -> list[int]:
    """The process ids of the workers that have a trial running."""
    names = rows(
        url,
        "SELECT DISTINCT value_json FROM trials JOIN trial_user_attributes USING (trial_id)"
        " WHERE state = 'RUNNING' AND key = :key",
        key=WORKER,
    )
    return sorted(int(json.loads(name).rsplit(":", 1)[1]) for name in names)


def finished(url: str) -> int:
    counts = states(url)
    return sum(counts[state] for state in FINISHED)


def assert_each_ran_once(url: str, number: int) -> None:
    done = [trial for trial in trials(url) if trial.state in FINISHED]
    assert len(done) == number
    assert states(url)[TrialState.RUNNING] == 0
    assert len({tuple(sorted(trial.params.items())) for trial in done}) == number
    assert all(HISTORY in trial.user_attrs for trial in done)


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
