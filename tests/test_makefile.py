"""The commands of the Makefile work in a folder that has been moved."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from src import paths
from tests import fabricate

ROOT = Path(__file__).parents[1]
INPUTS = ("Makefile", "requirements.lock", "requirements-remote.lock", "pyproject.toml")


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


def start(folder: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command as if no make had started these tests, which would add to what it prints."""
    outer = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")
    inherited = {key: value for key, value in os.environ.items() if key not in outer}
    return subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env=inherited | environment,
    )


def run(folder: Path, *command: str, **environment: str) -> str:
    done = start(folder, *command, **environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def make(folder: Path, *arguments: str) -> str:
    return run(folder, "make", *arguments)


def test_an_environment_that_was_made_elsewhere_is_said_to_be_on_one_line(folder: Path) -> None:
    assert make(folder, "setup") == ""
    moved = shutil.copytree(folder, folder.with_name("moved"), symlinks=True)
    said = make(moved, "setup")
    assert said.startswith(f"note: this environment was made as {folder}/.venv; make works here")
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    "target",
    [
        *("ui", "serve", "demo", "repro", "test", "test-faults", "soak", "lint", "licences"),
        *("up", "down"),
    ],
)
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
        done = start(folder, "make", *target)
    finally:
        real.rename(python)
    assert done.returncode != 0
    assert "ran -m dvc" not in done.stdout


def test_the_mlflow_pages_are_served_to_this_machine_alone(folder: Path) -> None:
    assert "--host 127.0.0.1" in make(folder, "-n", "ui")


@pytest.mark.parametrize(
    ("uri", "served"),
    [
        ("", "sqlite:///mlruns/mlflow.db"),
        ("sqlite:///other.db", "sqlite:///other.db"),
        ("https://ann:secret@example.org", None),
    ],
)
def test_the_mlflow_pages_are_of_the_store_that_runs_go_to(
    folder: Path, uri: str, served: str | None
) -> None:
    python = folder / ".venv/bin/python"
    real = python.rename(python.with_name("real"))
    python.write_text('#!/bin/sh\necho ran "$2" "$3" on "$MLFLOW_BACKEND_STORE_URI"\n')
    python.chmod(0o755)
    try:
        said = run(folder, "make", "--silent", "ui", MLFLOW_TRACKING_URI=uri).splitlines()
    finally:
        real.rename(python)
    assert [line.split(" on ")[0] for line in said[:2]] == [
        "ran src.tracking reconcile",
        "ran src.tracking pages",
    ]
    assert said[2:] == ([f"ran mlflow ui on {served}"] if served else [])


def test_what_running_servers_need_is_not_cleaned_away(folder: Path) -> None:
    servers = folder / ".cache" / "services"
    servers.mkdir(parents=True)
    done = start(folder, "make", "clean")
    assert done.returncode == 2 and "first run make down" in done.stderr
    servers.rmdir()
    make(folder, "clean")
    assert not servers.parent.exists()


def test_an_audit_that_cannot_ask_is_no_audit_that_found_nothing(folder: Path) -> None:
    uv = folder / ".venv/bin/uv"
    uv.symlink_to(Path(sys.executable).with_name("uv"))
    nothing = {"UV_OFFLINE": "1", "UV_CACHE_DIR": str(folder / "cache")}
    done = start(folder, "make", "audit", **nothing)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: audit: offline, or ")
    assert len(done.stderr.splitlines()) == 2, "the other line is make's own"


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    """A project of which only the report is left to do, with this environment as its own."""
    fabricate.write_project(tmp_path, fabricate.faces())
    python = tmp_path / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    for name in INPUTS:
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / ".venv/pyvenv.cfg").write_text(f"command = python -m venv --clear {tmp_path}/.venv")
    (tmp_path / ".venv/.ready").touch()
    run(tmp_path, str(python), "-m", "dvc", "init", "--quiet", "--no-scm")
    (tmp_path / "dvc.yaml").write_text(
        "stages:\n  report:\n    cmd: python -m pipelines.report\n"
        f"    deps: [{paths.TEST_METRICS}]\n    outs: [{paths.REPORT_PAGE}, {paths.SUMMARY}]\n"
    )
    return tmp_path


@pytest.mark.pipeline
@pytest.mark.long
def test_the_summary_is_printed_once_whether_or_not_a_stage_runs(finished: Path) -> None:
    path = f"{finished}/.venv/bin:{os.environ['PATH']}"
    ran = make(finished, "repro")
    (finished / ".dvc/tmp/rwlock").write_bytes(b"")  # as a killed DVC leaves it
    not_needed = make(finished, "repro")
    without_make = run(finished, "python", "-m", "dvc", "repro", "--force", PATH=path)
    for said in (ran, not_needed, without_make):
        assert said.count("best on validation") == said.count("\nnext:\n") == 1
    assert ["Running stage 'report'" in said for said in (ran, not_needed)] == [True, False]
