"""Names in whatever encoding and spelling: distinct people stay apart, and one person is one."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Mapping
from pathlib import Path

import pytest

from src.data.corrections import Correction, write_corrections
from src.data.entries import Origin
from src.data.origins import open_origin
from src.data.pack import pack
from src.errors import OriginError
from tests.data.conftest import (
    encoded,
    noise,
    settings,
    subjects,
    write_folder,
    write_tar,
    write_zip,
)

COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "José") for form in ("NFC", "NFD"))
WRITE = {"folder": write_folder, "a.tar.gz": write_tar, "a.zip": write_zip}


def called(names: Mapping[str, str], each: int = 6) -> dict[str, bytes]:
    """The files of subjects a, b and c, some of whom have another name."""
    files = subjects(each=each)
    return {f"{names.get(path[0], path[0])}{path[1:]}": files[path] for path in files}


def people(origin: Origin) -> set[str]:
    return {entry.subject for entry in origin.entries}


def unflagged(path: Path, names: Mapping[str, bytes]) -> Path:
    """A zip whose names are these bytes, without the flag that says that they are UTF-8."""
    places = {key: key * len(name) for key, name in names.items()}
    whole = write_zip(path, called(places)).read_bytes()
    for key, name in names.items():
        whole = whole.replace(f"{places[key]}/".encode(), name + b"/")
    path.write_bytes(whole)
    return path


@pytest.mark.parametrize("kind", ["folder", "a.tar.gz"])
@pytest.mark.parametrize(
    "names", [(b"Zo\xe9", b"Zo\xe8"), ("王".encode("gbk"), "李".encode("gbk"))]
)
def test_names_that_are_no_utf_8_stay_distinct_and_can_be_shown(
    tmp_path: Path, kind: str, names: tuple[bytes, bytes]
) -> None:
    files = called({key: os.fsdecode(name) for key, name in zip("ab", names, strict=True)})
    packed = pack(settings(WRITE[kind](tmp_path / kind, files)), seed=0)
    shown = {os.fsdecode(name).encode(errors="backslashreplace").decode() for name in names}
    assert {*packed.faces.subjects} == shown | {"c"}
    assert packed.manifest_csv().replace("\n", "").isprintable()


@pytest.mark.parametrize("name", [COMPOSED, DECOMPOSED])
def test_a_zip_of_macos_has_the_names_of_the_folder_it_was_made_of(
    tmp_path: Path, name: str
) -> None:
    folder = open_origin(settings(write_folder(tmp_path / "folder", called({"a": name}))))
    archive = open_origin(settings(unflagged(tmp_path / "a.zip", {"a": name.encode()})))
    assert dict(archive.read()) == dict(folder.read())
    assert people(archive) == {COMPOSED, "b", "c"}


def test_a_zip_of_another_encoding_has_the_names_that_its_format_says(tmp_path: Path) -> None:
    origin = open_origin(settings(unflagged(tmp_path / "a.zip", {"a": "José".encode("cp437")})))
    assert people(origin) == {"José", "b", "c"}
    assert len(list(origin.read())) == 18


@pytest.mark.parametrize("kind", WRITE)
def test_a_name_is_the_same_however_its_accents_are_stored(tmp_path: Path, kind: str) -> None:
    files = {f"train/{path}": content for path, content in called({"a": COMPOSED}).items()}
    files |= {f"test/{path}": content for path, content in called({"a": DECOMPOSED}).items()}
    origin = open_origin(settings(WRITE[kind](tmp_path / kind, files)))
    assert people(origin) == {COMPOSED, "b", "c"}
    assert sorted(content for _, content in origin.read()) == sorted(files.values())


def test_two_files_whose_names_differ_only_in_how_accents_are_stored_are_refused(
    tmp_path: Path,
) -> None:
    files = subjects() | {f"a/{COMPOSED}.png": b"1", f"a/{DECOMPOSED}.png": b"2"}
    with pytest.raises(OriginError, match="occurs twice"):
        open_origin(settings(write_folder(tmp_path / "faces", files)))


@pytest.mark.parametrize("pattern", [COMPOSED, DECOMPOSED])
def test_a_class_takes_a_subject_however_the_pattern_stores_its_accents(
    tmp_path: Path, pattern: str
) -> None:
    folder = write_folder(tmp_path / "faces", called({"a": DECOMPOSED}))
    classes = {"one": (pattern,), "rest": ("b", "c")}
    assert people(open_origin(settings(folder, classes=classes))) == {"one", "rest"}


def test_a_correction_finds_its_image_however_it_stores_accents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_folder(tmp_path / "faces", called({"a": COMPOSED, "b": f"{COMPOSED} 2"}, each=12))
    file, to = f"{DECOMPOSED}/0.png", f"{DECOMPOSED} 2"
    decided = Correction("faces", file, DECOMPOSED, "rename", to)
    write_corrections(Path("data/corrections.csv"), [decided])
    assert pack(settings("faces"), seed=0).corrections["renamed"] == 1


def test_a_stranger_is_known_by_name_however_its_accents_are_stored(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "faces", called({"a": COMPOSED}))
    others = {f"{name}/{n}.png": encoded(noise(5000 + n)) for name in "xy" for n in range(2)}
    others[f"{DECOMPOSED}/1.png"] = encoded(noise(6000))
    with pytest.raises(OriginError, match="a stranger is called like a subject"):
        pack(settings(folder), 0, strangers=str(write_folder(tmp_path / "others", others)))
