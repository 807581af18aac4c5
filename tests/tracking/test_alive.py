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

from src.tracking.reconcile import ensure_run
from tests.tracking.finished import finish_run
from tests.tracking.projects import Project, cloned
from tests.tracking.runs import WAITING, all_runs, only_run
from tests.tracking.seeded import finish

pytestmark = pytest.mark.faults

UNSHARE = shutil.which("unshare")
RENAMED = "import socket\nsocket.sethostname('elsewhere')\n"
REBUILDING = """
import os, signal
from pathlib import Path
from src.tracking import reconcile

reconcile.finish_child = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
reconcile.ensure_run(Path("runs/ModelA.json"))
"""


def elsewhere(program: str) -> list[str]:
    """The command that runs a program on a host of another name, as in a container."""
    if not UNSHARE or subprocess.run([UNSHARE, "-u", "true"], check=False).returncode:
        pytest.skip("only root of Linux can give a process another host name")
    return [UNSHARE, "-u", sys.executable, "-c", RENAMED + program]


@contextmanager
def waiting_elsewhere() -> Iterator[subprocess.Popen[str]]:
    """A process there with an open run."""
    with subprocess.Popen(elsewhere(WAITING), stdout=subprocess.PIPE, text=True) as process:
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


def test_a_seeds_run_whose_rebuilding_elsewhere_was_killed_is_closed(
    project: Project, blueprint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish(project)
    monkeypatch.chdir(cloned(project, blueprint))
    assert subprocess.run(elsewhere(REBUILDING), check=False).returncode == -signal.SIGKILL
    assert only_run("ModelA-seed4").info.status == "RUNNING"
    ensure_run(project.record)
    statuses = [(run.info.run_name, run.info.status) for run in all_runs()]
    assert statuses.count(("ModelA-seed4", "KILLED")) == 1
    assert statuses.count(("ModelA-seed4", "FINISHED")) == 1
    assert "RUNNING" not in dict(statuses).values()


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
        process.stdout.read()  # ends when the process inside has ended, too
    finish_run(project)
    assert only_run("Waiting").info.status == "KILLED"
