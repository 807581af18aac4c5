"""A run whose process died is closed, whatever the host was called; one that lives is not."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.tracking.finished import finish_run
from tests.tracking.projects import Project
from tests.tracking.test_run import WAITING, only_run

UNSHARE = shutil.which("unshare")
RENAMED = "import socket\nsocket.sethostname('elsewhere')\n"


@contextmanager
def waiting_elsewhere() -> Iterator[subprocess.Popen[str]]:
    """A process on a host of another name, as in a container, with an open run."""
    if not UNSHARE or subprocess.run([UNSHARE, "-u", "true"], check=False).returncode:
        pytest.skip("only root of Linux can give a process another host name")
    program = [UNSHARE, "-u", sys.executable, "-c", RENAMED + WAITING]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "open\n"
            yield process
        finally:
            process.kill()


def locks(project: Project) -> list[Path]:
    return list((project.root / ".cache/running").iterdir())


def test_a_run_of_another_host_is_closed_once_its_process_is_dead(project: Project) -> None:
    with waiting_elsewhere() as process:
        assert only_run("Waiting").data.tags["process.host"] == "elsewhere"
        finish_run(project)
        assert only_run("Waiting").info.status == "RUNNING"  # its process lives
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    finish_run(project)
    assert only_run("Waiting").info.status == "KILLED"
    assert not locks(project)


def test_a_run_of_another_copy_of_the_project_is_left_alone(project: Project) -> None:
    with waiting_elsewhere() as process:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    for lock in locks(project):  # on that other machine's disk
        lock.unlink()
    finish_run(project)
    assert only_run("Waiting").info.status == "RUNNING"


def test_a_process_in_a_container_of_the_same_name_is_not_taken_for_dead(project: Project) -> None:
    if not UNSHARE or subprocess.run([UNSHARE, "-pf", "true"], check=False).returncode:
        pytest.skip("only root of Linux can give a process ids of its own")
    program = [UNSHARE, "-pf", "--kill-child", "--mount-proc", sys.executable, "-c", WAITING]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        finish_run(project)
        assert only_run("Waiting").info.status == "RUNNING"
        process.kill()
    finish_run(project)
    assert only_run("Waiting").info.status == "KILLED"
