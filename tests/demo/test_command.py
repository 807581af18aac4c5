"""The command ends on one line, and says on one line what keeps it from serving."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from src.demo.__main__ import main
from src.errors import ConfigError, TrackingError
from tests.demo.served import Served, start
from tests.tracking.projects import MODEL, Project


@pytest.mark.long
def test_ctrl_c_ends_it_on_one_line(served: Served, tmp_path: Path) -> None:
    process, _ = start(served.root, tmp_path)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=10)
    assert (process.returncode, said) == (130, "stopped\n")


def test_without_a_champion_one_line_says_so(project: Project) -> None:
    with pytest.raises(TrackingError, match=f"^models:/{MODEL}@champion: no champion yet"):
        main(["--port", "0"])


def test_a_port_that_is_taken_is_one_line(served: Served, project: Project) -> None:
    with pytest.raises(ConfigError, match=f"^port {served.port}: already in use; choose"):
        main(["--port", str(served.port), "--model", str(project.model)])
    with pytest.raises(ConfigError, match=r"^port 99999: cannot be used"):
        main(["--port", "99999", "--model", str(project.model)])
