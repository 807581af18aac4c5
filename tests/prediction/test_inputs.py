"""What arguments and lists on stdin name: files, folders, patterns."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from src.errors import ImageError
from src.prediction import inputs
from src.prediction.inputs import photos


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in (
        *("in/b.jpg", "in/a.PNG", "in/deep/er/c.webp", "in/notes.txt", "in/.hidden.jpg"),
        *("in/.cache/d.jpg", "in/__MACOSX/e.jpg", "in/a.PNG.explained.png", "other.gif"),
    ):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()
    return tmp_path


def named(*arguments: str) -> list[str]:
    found = [*photos(arguments)]
    assert not [each for each in found if isinstance(each, ImageError)]
    return [str(each) for each in found]


def test_a_folder_stands_for_the_images_below_it(folder: Path) -> None:
    assert named("in") == ["in/a.PNG", "in/b.jpg", "in/deep/er/c.webp"]


def test_a_file_is_taken_whatever_it_is_called(folder: Path) -> None:
    assert named("other.gif", "in/.hidden.jpg", "none") == ["other.gif", "in/.hidden.jpg", "none"]


def test_patterns_are_expanded_unless_a_file_is_called_so(folder: Path) -> None:
    assert named("in/*.jpg") == ["in/b.jpg"]
    assert named("in/**/*.[tw]*") == ["in/deep/er/c.webp", "in/notes.txt"]
    assert named(str(folder / "in/d*")) == [str(folder / "in/deep/er/c.webp")]
    Path("in/[b].jpg").touch()
    assert named("in/[b].jpg") == ["in/[b].jpg"]


def test_what_names_no_image_is_an_error_in_its_place(folder: Path) -> None:
    Path("empty").mkdir()
    pattern, photo, empty = photos(["*.tiff", "in/b.jpg", "empty"])
    assert isinstance(pattern, ImageError) and "no file matches" in pattern.what
    assert photo == Path("in/b.jpg")
    assert isinstance(empty, ImageError) and "a folder without images" in empty.what


def test_links_that_lead_back_up_end(folder: Path) -> None:
    Path("in/deep/up").symlink_to(folder / "in")
    Path("in/file.jpg").symlink_to(folder / "other.gif")
    assert named("in") == ["in/a.PNG", "in/b.jpg", "in/file.jpg", "in/deep/er/c.webp"]


def test_an_empty_list_on_stdin_is_an_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Path("in/b.jpg").open("rb") as file:  # which is empty
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(file))
        (found,) = photos(["-"])
    assert isinstance(found, ImageError) and "no photo is listed" in found.what


@pytest.mark.parametrize("end", [b"\n", b"\0"])
def test_a_list_on_stdin_names_files_and_folders(
    folder: Path, monkeypatch: pytest.MonkeyPatch, end: bytes
) -> None:
    names = [b"in/b.jpg", b"", b"in", b"not \xff UTF-8.jpg", b"in/*.jpg", b"no end"]
    Path("list").write_bytes(end.join(names))
    monkeypatch.setattr(inputs, "CHUNK", 5)
    with Path("list").open("rb") as file:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(file))
        found = [os.fsencode(each) for each in photos(["-", "other.gif"], end)]
    inside = [b"in/a.PNG", b"in/b.jpg", b"in/deep/er/c.webp"]
    assert found == [names[0], *inside, *names[3:], b"other.gif"]
