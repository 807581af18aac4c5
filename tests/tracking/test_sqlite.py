"""A locked database is waited for, and a damaged one is named and left as it is."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from src.errors import TrackingError
from src.tracking import sqlite
from src.tracking.reconcile import ensure_run
from src.tracking.record import RunRecord
from src.tracking.run import track
from src.tracking.store import open_store
from tests.tracking.projects import EXPERIMENT, Project

DATABASE = Path("mlruns/mlflow.db")
HOLD = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
time.sleep(float(sys.argv[2]))
"""


@contextmanager
def held(seconds: float) -> Iterator[None]:
    """Another process locks the database for so long."""
    command = [sys.executable, "-c", HOLD, str(DATABASE), str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield
        process.kill()


@pytest.mark.faults
def test_a_run_waits_for_a_locked_database(
    project: Project, capfd: pytest.CaptureFixture[str]
) -> None:
    with track(
        experiment=EXPERIMENT, name="A", params={}, dataset=None, stage="s", record=project.record
    ) as run:
        run.log_epoch(1, {"train/loss": 1.0})
        with held(12):  # more than twice as long as SQLite waits by itself
            began = time.monotonic()
            run.live.flush()
            assert time.monotonic() - began > 6
    assert capfd.readouterr().err == ""
    record = RunRecord.read(project.record)
    assert record.sent and ensure_run(project.record) == record.run_id


def test_a_database_that_stays_locked_is_one_line(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "PATIENCE", 1)
    with held(60), pytest.raises(TrackingError, match=r"mlflow\.db: cannot be opened \(.*locked"):
        open_store(EXPERIMENT)


@pytest.mark.parametrize("where", [0, 3])
def test_a_damaged_database_is_named_and_not_written(project: Project, where: int) -> None:
    content = bytearray(DATABASE.read_bytes())
    content[where * 4096 : where * 4096 + 2048] = b"x" * 2048
    DATABASE.write_bytes(content)
    with pytest.raises(TrackingError, match=r"mlflow\.db: the database is damaged"):
        open_store(EXPERIMENT)
    assert DATABASE.read_bytes() == content
