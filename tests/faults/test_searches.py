"""A search on PostgreSQL whose workers are killed again and again, and whose database restarts."""

from __future__ import annotations

import os
import random
import subprocess
import time
from collections.abc import Iterator

import pytest

from src.tune.study import PUBLISHED
from tests.tune.conftest import command, here, searched  # noqa: F401 -- fixtures
from tests.tune.postgres import server, stopped
from tests.tune.processes import (
    PATIENCE,
    assert_each_ran_once,
    finished,
    trials,
    wait_for,
    workers,
)

pytestmark = pytest.mark.usefixtures("here")
SEARCH = ("--no-mlflow", "--epochs", "200", "--wave", "2")


@pytest.fixture
def postgres() -> Iterator[str]:
    with server() as url:
        yield url


def worker(*argv: str) -> subprocess.Popen[bytes]:
    """One that `--workers` of this process would have started."""
    return subprocess.Popen(command(*argv, "--as-worker", str(os.getpid())))


def published(url: str) -> list[str]:
    """The published heads that finished trials are."""
    done = [trial for trial in trials(url) if trial.value is not None]
    return [trial.user_attrs[PUBLISHED] for trial in done if PUBLISHED in trial.user_attrs]


def test_workers_that_are_killed_again_and_again_finish_each_trial_once(
    postgres: str, request: pytest.FixtureRequest
) -> None:
    kills = request.config.getoption("--kills")
    draw = random.Random(request.config.getoption("--kill-seed"))  # noqa: S311
    number = 8 + 6 * kills
    argv = (*SEARCH, "--trials", str(number), "--storage", postgres)
    running = [worker(*argv) for _ in range(2)]
    for _ in range(kills):
        before = finished(postgres)
        wait_for(lambda before=before: finished(postgres) > before, running[0])
        time.sleep(draw.uniform(0, 0.5))
        own = {process.pid: process for process in running}
        busy = [pid for pid in workers(postgres) if pid in own]
        killed = own[draw.choice(busy or [*own])]
        assert killed.poll() is None, "ended before it could be killed"
        killed.kill()
        killed.wait()
        running[running.index(killed)] = worker(*argv)
    assert [process.wait(PATIENCE) for process in running] == [0, 0]
    assert_each_ran_once(postgres, number)
    print(f"{kills} kills: {number} trials, each finished once; {len(trials(postgres))} rows")
    assert published(postgres) == ["ModelD-published"]


def test_a_search_whose_database_restarts_ends_in_a_line_and_is_completed_by_the_same_command(
    postgres: str,
) -> None:
    argv = command(*SEARCH, "--trials", "24", "--storage", postgres, "--workers", "2")
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_for(lambda: finished(postgres) >= 4 and workers(postgres), process)
    with stopped(postgres):
        time.sleep(1)
    err = process.communicate(timeout=PATIENCE)[1].decode()
    assert process.returncode in (0, 2), err
    assert all(line.startswith(("error: ", "warning: ")) for line in err.splitlines()), err
    assert err.count("the storage is lost") <= 2
    if process.returncode:
        assert subprocess.run(argv, check=False).returncode == 0
    assert_each_ran_once(postgres, 24)
    assert published(postgres) == ["ModelD-published"]
