"""The stage `dataset`: all of its outputs, or none with one line and exit code 2."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines import dataset
from src import cli, paths
from tests.data.conftest import encoded, noise, subjects, write_folder, write_tar
from tests.shipped import SHIPPED


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with a params.yaml whose origin is `faces`."""
    text = (SHIPPED / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(text.replace("data/synthetic.yaml", "faces"))
    (tmp_path / "data").mkdir()
    shutil.copy(SHIPPED / "data/strangers.yaml", tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refusal(capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as ended:
        cli.run(dataset.main, [])
    assert ended.value.code == 2
    message = capsys.readouterr().err
    assert message.startswith("error: ") and message.count("\n") == 1
    return message


def test_all_outputs_are_written(project: Path) -> None:
    write_folder(project / "faces", subjects())
    dataset.main([])
    for path in (paths.FACES, paths.STRANGERS, paths.MANIFEST, paths.AUDIT, paths.CONTACT_SHEET):
        assert path.stat().st_size > 0
    assert json.loads(paths.AUDIT.read_text())["images"] == {"train": 12, "val": 3, "test": 3}


def test_findings_are_printed_with_what_was_left_out(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = subjects()
    write_folder(project / "faces", files | {"a/broken.png": b"not an image"})
    (project / "faces" / "empty").mkdir()
    dataset.main([])
    said = capsys.readouterr().err.splitlines()
    broken, empty = (next(line for line in said if kind in line) for kind in ("broken", "empty"))
    assert broken.startswith("audit: unreadable: a/broken.png (") and broken.endswith("; left out")
    assert empty == "audit: empty subject: empty; left out"
    assert json.loads(paths.AUDIT.read_text())["dropped"] == 1
    params = (project / "params.yaml").read_text()
    (project / "params.yaml").write_text(params.replace("duplicate: drop", "duplicate: warn"))
    write_folder(project / "faces", {"a/copy.png": files["a/0.png"]})
    dataset.main([])
    assert (
        "audit: duplicate: a/0.png, a/copy.png (the same pixels); kept" in capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "no images"),
        (subjects("a"), "fewer than two subjects"),
        (subjects("ab", 1), "too few to split"),
        (
            {f"train/{k}": v for k, v in subjects().items()} | {"test/a/0.png": encoded(noise(9))},
            "differ",
        ),
        (subjects() | {"stray.png": encoded(noise(0))}, "outside of any subject's folder"),
    ],
)
def test_a_bad_origin_is_refused_on_one_line_and_earlier_outputs_are_kept(
    project: Path, capsys: pytest.CaptureFixture[str], files: dict[str, bytes], said: str
) -> None:
    write_folder(project / "faces", subjects())
    dataset.main([])
    capsys.readouterr()
    before = {path: path.read_bytes() for path in (paths.FACES, paths.MANIFEST, paths.AUDIT)}
    shutil.rmtree(project / "faces")
    write_folder(project / "faces", files)
    (project / "faces").mkdir(exist_ok=True)
    assert said in refusal(capsys)
    assert {path: path.read_bytes() for path in before} == before


def test_a_hostile_archive_ends_the_command_with_code_2_and_no_traceback(project: Path) -> None:
    write_tar(project / "evil.tar.gz", subjects() | {"../outside.png": b"x"})
    params = (project / "params.yaml").read_text()
    (project / "params.yaml").write_text(params.replace("origin: faces", "origin: evil.tar.gz"))
    done = subprocess.run(
        [sys.executable, "-m", "pipelines.dataset"],
        capture_output=True,
        text=True,
        check=False,
        cwd=project,
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "../outside.png" in done.stderr
    assert not (project.parent / "outside.png").exists()
    assert not paths.FACES.exists()
