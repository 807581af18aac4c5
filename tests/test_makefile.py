"""The commands of the Makefile work in a folder that has been moved."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
INPUTS = ("Makefile", "requirements.lock", "pyproject.toml")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that is set up, with an environment of its own, which is empty."""
    made = tmp_path_factory.mktemp("makefile") / "made here"
    made.mkdir()
    for name in INPUTS:
        shutil.copy(ROOT / name, made)
    environment = made / ".venv"
    venv = [sys.executable, "-m", "venv", "--without-pip", "--clear", str(environment)]
    subprocess.run(venv, check=True)
    (environment / ".ready").touch()
    return made


def make(folder: Path, *arguments: str) -> str:
    outer = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")  # of the make that may have started the tests
    environment = {key: value for key, value in os.environ.items() if key not in outer}
    done = subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_environment_that_was_made_elsewhere_is_said_to_be_on_one_line(folder: Path) -> None:
    assert make(folder, "setup") == ""
    moved = shutil.copytree(folder, folder.with_name("moved"), symlinks=True)
    said = make(moved, "setup")
    assert said.startswith(f"note: this environment was made as {folder}/.venv; make works here")
    assert said.count("\n") == 1


@pytest.mark.parametrize("target", ["ui", "repro", "test", "lint"])
def test_every_command_is_started_by_the_python_of_this_folder(folder: Path, target: str) -> None:
    prefix = f'PATH="{folder}/.venv/bin:$PATH"'
    started = [line for line in make(folder, "-n", target).splitlines() if line.startswith(prefix)]
    assert started
    for line in started:
        command = line.removeprefix(prefix).split()[2:]  # after the two variables
        assert command[:2] == ["python", "-m"], line


@pytest.mark.parametrize("target", [("repro", "PRESET=typo"), ("study", "NAME=typo")])
def test_a_preset_that_there_is_not_runs_nothing(folder: Path, target: tuple[str, str]) -> None:
    python = folder / ".venv/bin/python"
    real = python.rename(python.with_name("real"))
    python.write_text('#!/bin/sh\ncase "$*" in *src.preset*) exit 2;; *) echo ran "$@";; esac\n')
    python.chmod(0o755)
    try:
        done = subprocess.run(
            ["make", *target], cwd=folder, capture_output=True, text=True, check=False
        )
    finally:
        real.rename(python)
    assert done.returncode != 0
    assert "ran -m dvc" not in done.stdout
