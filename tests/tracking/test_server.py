"""A server shows no password, is not waited for, and may be lost while a run goes on."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from src.closure import ROOT
from src.errors import TrackingError
from src.tracking.address import check_answers
from src.tracking.store import open_store
from tests.tracking.projects import EXPERIMENT, Project
from tests.tracking.servers import Server, free_port, new_server

SECRET = "hunter2"  # noqa: S105 -- a canary
RUN = """
import os
from src import cli
from tests.tracking.finished import finish_run
from tests.tracking.projects import Project
from pathlib import Path
os.environ["MLFLOW_TRACKING_URI"] = os.environ["GIVEN_URI"]  # which importing the tests unsets
url = "https://ann:hunter2@example.org/weights"
params = {"weights": {"origin": url}}
cli.run(lambda argv: finish_run(Project(Path.cwd()), params=params) and None)
"""


@pytest.fixture
def server(blueprint: Path, tmp_path: Path) -> Iterator[Server]:
    made = new_server(tmp_path / "server", blueprint / "mlruns" / "mlflow.db")
    made.start()
    yield made
    made.kill()


def run(uri: str, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *(command or ("-c", RUN))],
        env={
            **os.environ,
            "GIVEN_URI": uri,
            "PYTHONPATH": str(ROOT),
        },
        capture_output=True,
        text=True,
        check=False,
    )


def canaries(*folders: Path) -> list[Path]:
    """The files in which the password is found."""
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return [path for path in files if SECRET.encode() in path.read_bytes()]


def test_a_working_server_leaves_no_password_anywhere(project: Project, server: Server) -> None:
    done = run(f"http://ann:{SECRET}@{server.address}")
    assert done.returncode == 0, done.stderr
    assert SECRET not in done.stdout + done.stderr
    assert "View run" not in done.stdout
    assert project.record.is_file()
    assert not canaries(project.root, server.folder)


@pytest.mark.parametrize(
    "uri",
    [
        f"http://ann:p@{SECRET}@127.0.0.1:{{port}}",
        f"postgresql://ann:{SECRET}@127.0.0.1:{{port}}/r",
    ],
)
def test_a_dead_server_is_one_line_without_the_password(project: Project, uri: str) -> None:
    done = run(uri.format(port=free_port()))
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert done.stderr.startswith("error: ") and "answers there" in done.stderr
    assert SECRET not in done.stderr
    assert not canaries(project.root)


@pytest.mark.parametrize(
    "uri",
    [
        f"http://ann:{SECRET}@127.0.0.1:{{port}}",
        f"http://ann:p/{SECRET}@127.0.0.1:{{port}}",
        f"postgresql://ann:p@{SECRET}@127.0.0.1:{{port}}/runs",
        f"postgresql://ann@127.0.0.1:{{port}}/runs?password={SECRET}",
        f"mongodb://ann:{SECRET}@127.0.0.1:{{port}}/runs",
    ],
)
def test_a_dead_server_is_told_in_seconds(
    project: Project, monkeypatch: pytest.MonkeyPatch, uri: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri.format(port=free_port()))
    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.setenv(name, "")  # so that they are as before afterwards
    import mlflow  # noqa: F401 -- not what is timed

    began = time.monotonic()
    with pytest.raises(TrackingError) as error:
        open_store(EXPERIMENT)
    assert time.monotonic() - began < 10
    assert SECRET not in str(error.value)


@pytest.mark.parametrize("scheme", ["http", "postgresql"])
def test_a_server_that_takes_calls_and_never_answers_is_not_waited_for(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        began = time.monotonic()
        with pytest.raises(TrackingError, match="answers there"):
            check_answers(f"{scheme}://127.0.0.1:{listener.getsockname()[1]}")
        assert time.monotonic() - began < 10
