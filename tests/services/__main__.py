"""`make up` and `make down`: the servers of docs/scale.md, on this machine alone, to try them.

A process in the background holds them; what it needs is in `.cache/services`, readable by its owner
alone, and goes with it.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest

from src import cli
from src.errors import TrackingError
from tests.services.stack import missing, services

FOLDER = Path(".cache/services")
ENVIRONMENT, COMMANDS, PROCESS, LOG = (
    FOLDER / name for name in ("environment", "commands", "process", "log")
)
HOLD = "hold"  # the command of the process in the background
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
    if FOLDER.exists():
        raise TrackingError(str(FOLDER), "is there, so they run already", "first run `make down`")
    FOLDER.mkdir(0o700, parents=True)
    with LOG.open("wb") as log:
        command = [sys.executable, "-m", "tests.services", HOLD]
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
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
    if PROCESS.is_file():
        number, started = PROCESS.read_text().split("@")
        try:
            process = psutil.Process(int(number))
            if f"{process.create_time():.2f}" == started:
                process.terminate()
                process.wait(PATIENCE)
        except psutil.NoSuchProcess:
            pass
    shutil.rmtree(FOLDER, ignore_errors=True)


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
