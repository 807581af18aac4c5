"""Decisions about single images: kept as written, checked against the origin, and applied."""

from __future__ import annotations

import posixpath
import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.data.audit import KINDS
from src.data.corrections import Correction, read_corrections, write_corrections
from src.data.faceset import Split
from src.data.pack import PackedDataset, pack
from src.errors import ConfigError, OriginError
from tests.data.conftest import encoded, noise, settings, subjects, write_folder

CORRECTIONS = Path("data/corrections.csv")
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
NAMES = TEXT.map(lambda text: unicodedata.normalize("NFC", text))
ORIGINS = TEXT.map(posixpath.normpath)


@pytest.fixture
def origin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A folder of three subjects with twelve images each, in the working directory."""
    monkeypatch.chdir(tmp_path)
    write_folder(tmp_path / "faces", subjects(each=12))
    return "faces"


def packed(*corrections: Correction, held_out: float = 0.0, origin: str = "faces") -> PackedDataset:
    write_corrections(CORRECTIONS, corrections)
    audit = dict.fromkeys(KINDS, "warn")
    return pack(settings(origin, audit=audit), seed=0, held_out=held_out)


def contents(dataset: PackedDataset) -> dict[str, tuple[str, Split, bytes]]:
    """The subject, split and pixels of each file."""
    faces = dataset.faces
    return {
        file: (
            faces.subjects[int(faces.labels[row])],
            Split(int(faces.split[row])),
            faces.images[row].numpy().tobytes(),
        )
        for row, file in enumerate(dataset.files)
    }


@pytest.mark.parametrize("split", Split)
def test_an_image_of_any_split_is_renamed_or_dropped_and_no_other_changes(
    origin: str, split: Split
) -> None:
    before = contents(packed())
    renamed, dropped = (
        next(file for file, of in before.items() if of[:2] == (subject, split)) for subject in "ab"
    )
    after = packed(
        Correction(origin, renamed, "a", "rename", "c"),
        Correction(origin, dropped, "b", "drop"),
        Correction(origin, "c/0.png", "c", "keep"),
        Correction("elsewhere", "c/1.png", "x", "drop"),
    )
    expected = {**before, renamed: ("c", *before[renamed][1:])}
    del expected[dropped]
    assert contents(after) == expected
    assert after.report()["corrections"] == {"renamed": 1, "dropped": 1, "kept": 1}


@pytest.mark.parametrize(("given", "decided"), [("./faces/", "faces"), ("faces", "x/..//faces")])
def test_a_decision_is_about_its_origin_however_that_path_is_written(
    origin: str, given: str, decided: str
) -> None:
    found = packed(Correction(decided, "a/1.png", "a", "drop"), origin=given)
    assert found.corrections["dropped"] == 1


@pytest.mark.parametrize(
    ("correction", "said"),
    [
        (Correction("faces", "a/99.png", "a", "keep"), "a/99.png: faces has no such file"),
        (
            Correction("faces", "a/1.png", "b", "keep"),
            "a/1.png: the decision is about b, but the image is of a",
        ),
        (
            Correction("faces", "a/1.png", "a", "rename", "zoe"),
            "a/1.png: zoe is no subject of the dataset",
        ),
    ],
)
def test_a_decision_that_does_not_fit_the_origin_is_refused_by_name(
    origin: str, correction: Correction, said: str
) -> None:
    with pytest.raises(OriginError, match=f"^{CORRECTIONS}: {re.escape(said)}; "):
        packed(correction)


def test_a_decision_about_another_label_is_made_again_after_the_next_repro(origin: str) -> None:
    mend = "remove the line, or undo it on the page, and run `dvc repro` before you decide again"
    with pytest.raises(OriginError, match=f"{mend}$"):  # until then the page shows that label
        packed(Correction("faces", "a/1.png", "b", "keep"))


def test_a_subject_must_keep_an_image_of_every_split(origin: str) -> None:
    tests = [file for file, of in contents(packed()).items() if of[:2] == ("a", Split.test)]
    with pytest.raises(OriginError, match="a correction took its last image of the test split"):
        packed(*(Correction(origin, file, "a", "drop") for file in tests))


def test_a_subject_may_be_joined_with_another_but_one_alone_is_no_dataset(origin: str) -> None:
    joined = [Correction(origin, f"b/{n}.png", "b", "rename", "a") for n in range(12)]
    assert packed(*joined).faces.subjects == ("a", "c")
    dropped = [Correction(origin, f"c/{n}.png", "c", "drop") for n in range(12)]
    with pytest.raises(OriginError, match="fewer than two subjects"):
        packed(*joined, *dropped)


def test_the_audit_sees_the_corrected_labels(origin: str) -> None:
    write_folder(Path("faces"), {"b/same.png": encoded(noise(0))})  # the pixels of a/0.png
    found = [finding.kind for finding in packed().findings]
    assert found == ["conflicting_label"]
    renamed = packed(Correction(origin, "b/same.png", "b", "rename", "a"))
    assert "conflicting_label" not in {finding.kind for finding in renamed.findings}
    assert not packed(Correction(origin, "b/same.png", "b", "drop")).findings


def test_a_corrected_image_of_one_held_out_is_no_stranger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_folder(tmp_path / "faces", subjects("abcdefgh"))
    before = packed(held_out=0.25)
    stranger = before.strangers.subjects[0]
    known = before.faces.subjects[0]
    file = f"{stranger}/0.png"
    after = packed(Correction("faces", file, stranger, "rename", known), held_out=0.25)
    assert contents(after) == contents(before)
    assert len(after.strangers) == len(before.strangers) - 1
    with pytest.raises(OriginError, match=f"{stranger} is no subject .* lower unknown.held_out"):
        packed(Correction("faces", f"{known}/0.png", known, "rename", stranger), held_out=0.25)


def test_a_folder_in_place_of_the_decisions_is_refused(tmp_path: Path) -> None:
    assert read_corrections(tmp_path / "none.csv") == ()
    (tmp_path / "empty.csv").touch()
    assert read_corrections(tmp_path / "empty.csv") == ()
    with pytest.raises(ConfigError, match=f"^{tmp_path}: cannot be read"):
        read_corrections(tmp_path)


@given(st.lists(st.tuples(ORIGINS, NAMES, NAMES, st.sampled_from(["keep", "drop"])), max_size=5))
def test_decisions_are_read_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, str, str]]
) -> None:
    path = tmp_path_factory.mktemp("corrections") / "corrections.csv"
    one_each = {row[:2]: Correction(*row) for row in rows}  # type: ignore[arg-type]
    write_corrections(path, one_each.values())
    assert {*read_corrections(path)} == {*one_each.values()}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("faces,a,a,lose,", "no decision: lose"),
        ("faces,a,a,rename,", "rename with no name"),
        ("faces,a,a,drop,b", "drop with the name b"),
        ("faces,a,a,drop", "has 4 columns instead of 5"),
        ("faces,a,a,drop,\nfaces,a,a,keep,", "a has two decisions"),
        ("faces,a,a,drop,\n./faces/,a,a,keep,", "a has two decisions"),
    ],
)
def test_a_line_that_is_no_decision_is_refused(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "corrections.csv"
    path.write_text(f"origin,file,subject,decision,to\n{line}\n")
    with pytest.raises(ConfigError, match=re.escape(said)):
        read_corrections(path)
