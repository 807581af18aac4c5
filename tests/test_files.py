"""Outputs are replaced whole or not at all, and nothing half-written lies beside them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from src.cli import run
from src.closure import ROOT
from src.errors import OutputError
from src.files import all_or_none, atomic, sweep, write_csv, write_json, write_text
from src.tensors import save_tensors
from tests.disk import full_disk

TEMPORARY = Path(".cache/tmp")
KILLED = """
import os, signal
from pathlib import Path
from src.files import atomic

with atomic(Path("models/one.safetensors")) as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project, entered."""
    (tmp_path / "params.yaml").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def another_disk(here: Path) -> Iterator[Path]:
    """An empty folder on another file system than the project's."""
    memory = Path("/dev/shm")  # noqa: S108
    if not memory.is_dir() or memory.stat().st_dev == here.stat().st_dev:
        pytest.skip("needs a second file system at /dev/shm")
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


@contextmanager
def as_a_user() -> Iterator[None]:
    """Inside the block, root, who may write anywhere, is somebody who may not."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def kill_while_writing() -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", KILLED], env=environment, check=False)
    assert done.returncode == -signal.SIGKILL


def test_a_killed_process_leaves_nothing_beside_the_output(here: Path) -> None:
    kill_while_writing()
    assert not list(Path("models").iterdir())
    (left,) = TEMPORARY.iterdir()
    assert left.read_text() == "half"


def test_the_next_command_sweeps_what_dead_processes_left_and_nothing_else(here: Path) -> None:
    kill_while_writing()
    (dead,) = TEMPORARY.iterdir()
    # A container with the host's name, which counts its processes by itself.
    container = f"1000000000@{socket.gethostname()}-1.x"
    with atomic(Path("models/two")) as alive, pytest.raises(SystemExit):
        (TEMPORARY / "of-a-person.txt").touch()
        (TEMPORARY / "1000000000@another.host.x").touch()
        (TEMPORARY / container).touch()
        Path("models").chmod(0o755)
        run(lambda _argv: 0)
    assert not dead.exists()
    assert Path("models/two").is_file() and not alive.exists()
    assert {path.name for path in TEMPORARY.iterdir()} == {
        "of-a-person.txt",
        "1000000000@another.host.x",
        container,
    }


def test_outside_a_project_nothing_but_the_output_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_text(Path("out/a.txt"), "a")
    sweep()
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "a.txt"]


def test_where_the_scratch_folder_is_a_link_to_another_disk_nothing_is_left_beside_outputs(
    here: Path, another_disk: Path
) -> None:
    TEMPORARY.parent.mkdir(exist_ok=True)
    TEMPORARY.symlink_to(another_disk)
    kill_while_writing()
    assert not list(Path("models").iterdir())
    (left,) = TEMPORARY.parent.glob("*@*")
    sweep()
    assert not left.exists()


def test_an_output_on_another_file_system_is_written_beside_itself(
    here: Path, another_disk: Path
) -> None:
    Path("models").symlink_to(another_disk)
    with atomic(Path("models/one")) as temporary:
        assert temporary.parent == another_disk.resolve()
    assert [path.name for path in another_disk.iterdir()] == ["one"]


def test_a_scratch_folder_that_cannot_be_made_costs_no_output(here: Path) -> None:
    Path(".cache").touch()
    write_text(Path("a.txt"), "a")
    assert sorted(path.name for path in here.iterdir()) == [".cache", "a.txt", "params.yaml"]


@pytest.mark.parametrize(
    "write",
    [
        lambda path: write_text(path, "x" * 9999),
        lambda path: write_csv(path, "ab", [("x" * 9999, 1)]),
        lambda path: save_tensors(path, {"x": torch.ones(9999)}),
    ],
    ids=["text", "csv", "tensors"],
)
def test_a_full_disk_is_told_in_one_line_and_leaves_the_earlier_file(
    here: Path, write: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path("models/one")
    write_text(path, "earlier")
    with full_disk(), pytest.raises(SystemExit) as stopped:
        run(lambda _argv: write(path))
    line = capsys.readouterr().err
    assert stopped.value.code == 2 and line.count("\n") == 1
    assert line.startswith("error: models: one cannot be written (file too large; ")
    assert " MiB free)" in line
    assert path.read_text() == "earlier"
    assert not list(TEMPORARY.iterdir())


def test_a_folder_that_is_read_only_is_named(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("models").mkdir(mode=0o555)
    with as_a_user(), pytest.raises(SystemExit) as stopped:
        run(lambda _argv: write_text(Path("models/one"), "x"))
    line = capsys.readouterr().err
    assert stopped.value.code == 2 and line.count("\n") == 1
    assert line.startswith("error: models: one cannot be written (permission denied; ")
    assert "MiB free); make that folder writable" in line


def test_a_path_that_can_be_no_file_is_told_in_one_line(here: Path) -> None:
    Path("folder").mkdir()
    Path("file").write_text("kept")
    Path("loop").symlink_to("loop")
    Path("dangling").symlink_to("nowhere")
    for path, what in (
        ("folder", "folder: is a folder; name a file"),
        ("file/x", "file is no folder; name another"),
        ("file/x/y", "file is no folder; name another"),
        ("loop/x", "loop is no folder; name another"),
        ("dangling/x", "dangling is no folder; name another"),
        ("a" * 300, "give it a shorter name and run the command again"),
    ):
        with pytest.raises(OutputError) as caught:
            write_text(Path(path), "new")
        assert str(caught.value).endswith(what)
    assert Path("file").read_text() == "kept"
    assert not list(TEMPORARY.iterdir())


def test_a_write_by_other_means_is_told_in_one_line_too(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def write(_argv: object) -> None:
        Path("one").write_text("x" * 9999)

    with full_disk(), pytest.raises(SystemExit) as stopped:
        run(write)
    assert stopped.value.code == 2
    assert " cannot be written (file too large; " in capsys.readouterr().err


def test_a_file_that_may_not_be_read_is_not_said_to_be_written(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("faces.zip").touch(mode=0o000)

    def read(_argv: object) -> None:
        Path("faces.zip").read_bytes()

    with as_a_user(), pytest.raises(SystemExit) as stopped:
        run(read)
    assert stopped.value.code == 2
    mend = "change its permissions, or its folder's, and run the command again"
    assert capsys.readouterr().err == f"error: .: faces.zip: permission denied; {mend}\n"


def test_files_written_together_all_stay_as_they_were_when_one_fails(here: Path) -> None:
    for name in "ab":
        write_text(Path(name), "earlier")
    with full_disk(), pytest.raises(OutputError), all_or_none():
        write_text(Path("a"), "later")
        write_text(Path("b"), "x" * 9999)
    assert [Path(name).read_text() for name in "ab"] == ["earlier"] * 2
    with all_or_none():
        for name in "ab":
            write_text(Path(name), "later")
        assert Path("a").read_text() == "earlier"
    assert [Path(name).read_text() for name in "ab"] == ["later"] * 2
    assert not list(TEMPORARY.iterdir())


def test_of_files_written_together_none_is_replaced_where_one_folder_is_read_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Though the scratch folder, where all are written first, is not."""
    with tempfile.TemporaryDirectory() as folder:  # pytest's own lie in one that is its user's
        monkeypatch.chdir(folder)
        Path("params.yaml").touch()
        Path("others").mkdir(mode=0o555)
        TEMPORARY.mkdir(parents=True)
        for each in (Path(), TEMPORARY):
            each.chmod(0o777)
        with as_a_user():
            write_text(Path("a"), "earlier")
            with pytest.raises(OutputError) as caught, all_or_none():
                write_text(Path("a"), "later")
                write_text(Path("others/b"), "later")
        assert str(caught.value).startswith("others: b cannot be written (permission denied; ")
        assert Path("a").read_text() == "earlier"
        assert not list(TEMPORARY.iterdir())
        monkeypatch.undo()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_json_refuses_what_is_no_number(here: Path, value: float) -> None:
    write_json(Path("a.json"), 1)
    with pytest.raises(OutputError, match=r"^a\.json: a number in it would be NaN or infinite"):
        write_json(Path("a.json"), {"loss": value})
    assert Path("a.json").read_text() == "1\n"
