"""Every command ends within two seconds of a signal, with one line, whatever it is doing."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from src import paths
from src.closure import ROOT
from src.config import PARAMS
from src.files import write_json
from tests import fabricate
from tests.shipped import SHIPPED
from tests.tracking.projects import Project

pytestmark = pytest.mark.faults

if not Path("/proc/self/status").is_file():
    pytest.skip("waits for signal handlers by Linux's /proc", allow_module_level=True)
SLACK = 2.0  # seconds that other tests on the machine may take beside this one's two
COMMANDS = (
    ("pipelines.dataset",),
    ("pipelines.train", "ModelA"),
    ("pipelines.evaluate",),
    ("pipelines.register",),
    ("src.predict", "image.png"),
    ("src.tune", "--trials", "400"),
    ("src.tracking", "reconcile"),
)


def started(*argv: str) -> subprocess.Popen[str]:
    """A process of this project's code that has just begun to handle signals."""
    process = subprocess.Popen(
        [sys.executable, *argv],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wanted = 1 << signal.SIGTERM - 1
    while not int(_status(process, "SigCgt"), 16) & wanted:
        assert process.poll() is None
        time.sleep(0.002)
    return process


def _status(process: subprocess.Popen[str], field: str) -> str:
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next((line.split()[1] for line in lines if line.startswith(f"{field}:")), "0")


def assert_ends(process: subprocess.Popen[str], *numbers: signal.Signals) -> None:
    """Send signals, one shortly after the other, and see the process end as it should."""
    began = time.monotonic()
    for number in numbers:
        process.send_signal(number)
        time.sleep(0.05)
    _, said = process.communicate(timeout=60)
    if said.startswith("error: "):  # it was ending on a line of its own just then
        assert said.count("\n") == 1
    else:
        assert (process.returncode, said) == (130, "stopped\n")
    assert time.monotonic() - began < 2 + SLACK


@pytest.fixture
def busy(project: Project) -> Iterator[Project]:
    """A project whose training would take hours."""
    params = yaml.safe_load((SHIPPED / PARAMS).read_text())
    params["experiments"] = {"ModelA": {"train": ["all"], "batch_size": 8, "epochs": 9000}}
    params["data"]["image_size"] = 32
    params["model"] = {"backbone": "mobilenet_v2", "stem": "standard"}
    params["seeds"] = 1
    write_json(PARAMS, params)
    shutil.copy(SHIPPED / "data/synthetic.yaml", "data")
    from src.models.weights import random_weights

    fabricate.faces(("ann", "bob", "eve"), train=6).save(paths.FACES)
    random_weights("mobilenet_v2", 0).save(paths.SOURCE)
    yield project


@pytest.mark.pipeline
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_command_ends_at_any_moment(busy: Project, command: tuple[str, ...]) -> None:
    draw = random.Random(" ".join(command))  # noqa: S311
    for number, latest in ((signal.SIGTERM, 0.0), (signal.SIGINT, 0.5), (signal.SIGTERM, 4.0)):
        with started("-m", *command) as process:
            time.sleep(draw.uniform(0, latest))
            if process.poll() is None:
                assert_ends(process, number)
            else:  # a short command may be done by now
                assert latest and command[0] != "pipelines.train"


@pytest.mark.parametrize(
    "hindrance",
    [
        "import sqlite3; sqlite3.connect('x.db', timeout=60).execute('BEGIN IMMEDIATE')",
        "import threading; threading.Thread(target=time.sleep, args=(60,)).start()",
        "import atexit; atexit.register(time.sleep, 60); time.sleep(60)",
        "class Waits:\n        def __del__(self): time.sleep(60)\n    it = Waits()\n"
        "    del it\n    time.sleep(60)",
        "while True:\n        try: time.sleep(60)\n        except BaseException: pass",
    ],
    ids=["a wait in C", "a thread", "an exit handler", "a destructor", "a deaf library"],
)
@pytest.mark.parametrize("repeated", [1, 2], ids=["once", "twice"])
def test_nothing_keeps_a_command_from_ending(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hindrance: str, repeated: int
) -> None:
    import sqlite3

    monkeypatch.chdir(tmp_path)
    with sqlite3.connect("x.db") as holder:
        holder.execute("BEGIN IMMEDIATE")
        program = "import time\nfrom src import cli\n"
        program += f"def main(argv):\n    print('on', flush=True)\n    {hindrance}\ncli.run(main)"
        with started("-c", program) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "on\n"
            time.sleep(0.2)
            assert_ends(process, *[signal.SIGINT, signal.SIGTERM][:repeated])


def test_a_command_in_a_shells_background_still_ignores_ctrl_c(tmp_path: Path) -> None:
    program = "import os, signal, time\nfrom src import cli\n"
    program += "cli.run(lambda _: print(signal.getsignal(2) is signal.SIG_IGN))"
    ignoring = ["sh", "-c", 'trap "" INT; exec "$0" "$@"', sys.executable, "-c", program]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ignoring, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == "True\n"
