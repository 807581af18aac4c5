"""Every command states the project's version."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
import tomllib

import pytest

from src.closure import ROOT

COMMANDS = sorted(
    match.group(1)
    for folder in ("src", "pipelines", "benchmarks")
    for path in (ROOT / folder).rglob("*.py")
    if (match := re.search(r'cli\.parser\(\s*"([\w.]+)"', path.read_text()))
)
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_prints_the_projects_version(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        module = importlib.import_module(f"{command}.__main__")
    except ModuleNotFoundError:
        module = importlib.import_module(command)
    with pytest.raises(SystemExit, match="0"):
        module.main(["--version"])
    assert capsys.readouterr().out == f"face-finetune {VERSION}\n"


def test_the_version_is_found_where_the_project_is_not_installed() -> None:
    program = [sys.executable, "-S", "-c", "from src import cli; print(cli.version())"]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        program, cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{VERSION}\n"
