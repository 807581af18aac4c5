"""`make up` and `make down`: the servers of docs/scale.md, on this machine alone, to try them.

A process in the background holds them; what it needs is in `.cache/services`, readable by its owner
alone, and goes with it. If it is killed, its servers are found by their temporary folder, which no
other process has in its environment.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from src import cli
from src.errors import TrackingError
from tests.services.stack import missing, services

FOLDER = Path(".cache/services")
ENVIRONMENT, COMMANDS, PROCESS, TEMPORARY, LOG = (
    FOLDER / name for name in ("environment", "commands", "process", "temporary", "log")
)
HOLD = "hold"  # the command of the process in the background
ENDS = 30.0  # seconds that a server has to end by itself
PATIENCE = 300.0  # seconds for a busy machine; a quiet one needs twenty
EXAMPLES = """\
  python -m tests.services up && . .cache/services/environment
  python -m tests.services down"""


def main(argv: Sequence[str] | None = None) -> None:
    """Start PostgreSQL, an S3 server and an MLflow server here, or stop them.

    Stopping them deletes all that they hold.
    """
    arguments = cli.parser("tests.services", str(main.__doc__), EXAMPLES)
    arguments.add_argument("command", choices=["up", "down"])
    {"up": up, "down": down}[arguments.parse_args(argv).command]()


def up() -> None:
    """Start all servers and print how to use them; raises TrackingError if one does not start."""
    if absent := missing():
        raise TrackingError("make up", f"needs {absent}", "run `make setup-remote`")
    if _holder():
        raise TrackingError(str(FOLDER), "says that they run already", "first run `make down`")
    down()  # what a killed one has left
    FOLDER.mkdir(0o700, parents=True)
    temporary = tempfile.mkdtemp(prefix="face-finetune-")
    Path(temporary).chmod(0o711)  # PostgreSQL may run as another user, in a folder of its own there
    TEMPORARY.write_text(temporary)
    with LOG.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.services", HOLD],
            env={**os.environ, "TMPDIR": temporary},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    PROCESS.write_text(f"{process.pid}@{psutil.Process(process.pid).create_time():.2f}")
    try:
        deadline = time.monotonic() + PATIENCE
        while not COMMANDS.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                said = LOG.read_text().strip().splitlines() or ["nothing is said"]
                raise TrackingError("make up", f"no server starts ({said[-1]})", "run it again")
            time.sleep(0.2)
    except BaseException:
        down()
        raise
    print(COMMANDS.read_text(), end="")


def down() -> None:
    """Stop the servers, if any runs, and forget what they held."""
    if holder := _holder():
        holder.terminate()
        holder.wait(PATIENCE)
    if TEMPORARY.is_file():
        temporary = TEMPORARY.read_text()
        left = _with_temporary(temporary)
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.terminate()
        for process in psutil.wait_procs(left, ENDS)[1]:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        shutil.rmtree(temporary, ignore_errors=True)
    shutil.rmtree(FOLDER, ignore_errors=True)


def _holder() -> psutil.Process | None:
    """The process in the background, if it runs."""
    if not PROCESS.is_file():
        return None
    number, started = PROCESS.read_text().split("@")
    try:
        process = psutil.Process(int(number))
        same = f"{process.create_time():.2f}" == started
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.NoSuchProcess:
        return None


def _with_temporary(folder: str) -> list[psutil.Process]:
    """The processes whose temporary folder is `folder`."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.environ().get("TMPDIR") == folder:
                found.append(process)
    return found


def hold() -> None:
    """Run the servers until a signal comes; the process that `up` leaves in the background."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    try:
        with services(FOLDER.resolve()) as running:
            ENVIRONMENT.touch(0o600)
            ENVIRONMENT.write_text(running.exported)
            names = ", ".join(running.environment)
            lines = [f"# MLflow: {running.environment['MLFLOW_TRACKING_URI']}  S3: {running.s3}"]
            lines += [f". {ENVIRONMENT}  # {names}"]
            lines += [" ".join(command) for command in running.commands]
            new = COMMANDS.with_suffix(".new")
            new.write_text("\n".join(lines) + "\n")
            new.replace(COMMANDS)
            signal.pause()
    except pytest.skip.Exception as reason:  # how the tests say that there is no PostgreSQL
        sys.exit(str(reason))


if __name__ == "__main__":
    if sys.argv[1:] == [HOLD]:
        hold()
    else:
        cli.run(main)
