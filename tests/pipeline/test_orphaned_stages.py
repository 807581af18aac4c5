"""A stage ends with the DVC that started it; what a user starts in a shell outlives the shell."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from src.closure import ROOT

pytestmark = [pytest.mark.pipeline, pytest.mark.faults]
STAGE = """
import os, time
from pathlib import Path
from src import cli

def main(argv):
    Path("pid.new").write_text(str(os.getpid()))
    Path("pid.new").rename("pid")
    try:
        time.sleep(120)
    finally:
        Path("closed").touch()

cli.run(main)
"""
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "DVC_NO_ANALYTICS": "1"}
PATIENCE = 60.0  # seconds for a busy machine to start DVC


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with a program that waits."""
    monkeypatch.chdir(tmp_path)
    Path("stage.py").write_text(STAGE)
    return tmp_path


def waiting() -> psutil.Process:
    """The process of STAGE, once it waits."""
    deadline = time.monotonic() + PATIENCE
    while not Path("pid").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return psutil.Process(int(Path("pid").read_text()))


@pytest.mark.parametrize(
    ("number", "rest"),
    [(signal.SIGTERM, ""), (signal.SIGKILL, " && true")],
    ids=["terminated, with the shell replaced", "killed, with a shell between"],
)
def test_a_stage_ends_when_dvc_alone_does(here: Path, number: signal.Signals, rest: str) -> None:
    dvc = [sys.executable, "-m", "dvc"]
    subprocess.run([*dvc, "init", "--no-scm", "-q"], env=ENVIRONMENT, check=True)
    Path("dvc.yaml").write_text(f"stages: {{wait: {{cmd: {sys.executable} stage.py{rest}}}}}")
    environment = ENVIRONMENT | {"SHELL": "/bin/bash"}
    with subprocess.Popen([*dvc, "repro", "-q"], env=environment) as repro:
        stage = waiting()
        assert (stage.parent().name() == "bash") == bool(rest)
        time.sleep(1.2)  # it goes on while DVC lives
        assert stage.is_running()
        repro.send_signal(number)
        stage.wait(timeout=10)
    assert Path("closed").exists()


def test_what_a_shell_started_outlives_it(here: Path) -> None:
    command = f"nohup {sys.executable} stage.py >/dev/null 2>&1 &"
    environment = {key: value for key, value in ENVIRONMENT.items() if key != "DVC_STAGE"}
    subprocess.run(["sh", "-c", command], env=environment, check=True)
    process = waiting()
    try:
        time.sleep(1.5)
        assert process.is_running()
    finally:
        process.kill()
