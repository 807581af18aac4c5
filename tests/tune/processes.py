"""Searches in other processes: waiting for them, and what the storage has of their trials."""

from __future__ import annotations

import json
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from typing import TypeVar

import optuna
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.exc import OperationalError, ProgrammingError

from src.tune.search import HISTORY
from src.tune.storage import WORKER
from src.tune.study import FINISHED

T = TypeVar("T")
PATIENCE = 300.0  # seconds for a busy machine; a quiet one needs ten


def wait_for(what: Callable[[], T], process: subprocess.Popen[bytes]) -> T:
    deadline = time.monotonic() + PATIENCE
    while not (found := what()):
        assert process.poll() is None, "ended before it could be stopped"
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


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
