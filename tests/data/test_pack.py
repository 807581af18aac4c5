"""Packing: what is split, dropped and refused, and that the bytes are reproducible."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from src.config import Audit, Data
from src.data import audit as auditing
from src.data.audit import DecodedImages, audit, pixel_digest
from src.data.contact_sheet import contact_sheet
from src.data.entries import Entry
from src.data.faceset import FaceSet, Split
from src.data.pack import PackedDataset, pack
from src.data.split import assign
from src.errors import AuditError, OriginError
from tests.data.conftest import encoded, noise, settings, subjects, write_folder


def split_files(each: int = 6) -> dict[str, bytes]:
    """train/ and test/ of three subjects, all images different."""
    return {
        f"{split}/{name}/{n}.png": encoded(noise(1000 * s + 100 * k + n))
        for s, split in enumerate(("train", "test"))
        for k, name in enumerate("abc")
        for n in range(each if split == "train" else 2)
    }


def packed(tmp_path: Path, files: dict[str, bytes], **audit: str) -> PackedDataset:
    origin = write_folder(tmp_path / "origin", files)
    return pack(settings(origin, audit=audit), seed=0)


def splits_of(packed: PackedDataset) -> dict[str, Split]:
    return {f: Split(int(s)) for f, s in zip(packed.files, packed.faces.split, strict=True)}


def test_every_subject_has_the_requested_fraction_of_its_images_in_each_split(
    tmp_path: Path,
) -> None:
    origin = write_folder(tmp_path, subjects(each=20))
    faces = pack(settings(origin, val_fraction=0.25, test_fraction=0.2), seed=0).faces
    for label in range(3):
        counts = Counter(faces.split[faces.labels == label].tolist())
        assert counts == {Split.test: 4, Split.val: 4, Split.train: 12}


def test_the_split_depends_on_neither_order_nor_other_subjects_but_on_the_seed() -> None:
    entries = [Entry(f"{name}/{n}", name) for name in "abcd" for n in range(20)]

    def of_a(some: list[Entry], seed: int) -> dict[str, int]:
        splits = assign("origin", some, 0.2, 0.2, seed)
        return {e.file: int(s) for e, s in zip(some, splits, strict=True) if e.subject == "a"}

    assert of_a(entries, 0) == of_a(entries[::-1], 0) == of_a(entries[:40], 0)
    assert of_a(entries, 0) != of_a(entries, 1)


def test_images_of_one_name_are_split_alike_in_any_order() -> None:
    """As numbered photos have them whose subjects `data.classes` joins."""
    entries = [Entry(f"{subject}/{n}.jpg", "other") for n in range(4) for subject in "abcde"]
    entries += [Entry(f"z/{n}.jpg", "one") for n in range(4)]

    def of_files(some: list[Entry]) -> dict[str, int]:
        splits = assign("origin", some, 0.2, 0.2, 0)
        return {entry.file: int(split) for entry, split in zip(some, splits, strict=True)}

    assert of_files(entries) == of_files(entries[::-1])


@pytest.mark.parametrize("each", [1, 2])
def test_a_subject_with_too_few_images_is_named(tmp_path: Path, each: int) -> None:
    files = subjects() | subjects("z", each)
    with pytest.raises(OriginError, match=r"z.* too few to split; give it at least 3"):
        packed(tmp_path, files)


def test_subjects_that_differ_between_train_and_test_are_named(tmp_path: Path) -> None:
    files = {k: v for k, v in split_files().items() if not k.startswith("test/b")}
    with pytest.raises(OriginError, match="b only in train"):
        packed(tmp_path, files)


def test_a_duplicate_of_a_test_image_is_dropped_from_training_never_from_test(
    tmp_path: Path,
) -> None:
    files = split_files()
    files["train/a/again.png"] = files["test/a/0.png"]
    files["train/a/copy.bmp"] = encoded(noise(0), "BMP")  # the same pixels as train/a/0.png
    result = packed(tmp_path, files, duplicate="drop")
    assert "test/a/0.png" in result.files
    assert "train/a/again.png" not in result.files
    assert len({"train/a/copy.bmp", "train/a/0.png"} & set(result.files)) == 1
    assert result.report()["found"]["duplicate"] == 2
    assert result.report()["dropped"] == 2


@pytest.mark.parametrize(
    "alter",
    [
        lambda image: ImageEnhance.Brightness(image).enhance(0.8),
        lambda image: image.resize((70, 70)).resize((40, 40)),
        lambda image: image.convert("L").convert("RGB"),
    ],
)
def test_a_near_duplicate_across_splits_is_found(tmp_path: Path, alter: object) -> None:
    files = split_files()
    altered = alter(Image.fromarray(noise(1000)))  # type: ignore[operator]
    files["train/a/near.png"] = encoded(np.asarray(altered))
    result = packed(tmp_path, files, near_duplicate="drop")
    assert result.report()["found"]["near_duplicate"] == 1
    assert "train/a/near.png" not in result.files and "test/a/0.png" in result.files


def test_near_duplicates_that_are_not_listed_count_in_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auditing, "LISTED", 1)
    files = split_files()
    for quality in (90, 80, 70):
        files[f"train/a/{quality}.jpg"] = encoded(noise(1000), "JPEG", quality=quality)
    report = packed(tmp_path, files).report()
    assert report["found"]["near_duplicate"] == 5
    shown, rest = report["findings"]
    assert len(shown["files"]) == 2 and shown.keys() == rest.keys()
    assert (rest["note"], rest["count"]) == ("4 more pairs, which are not listed", 4)


def test_different_images_are_not_near_duplicates(tmp_path: Path) -> None:
    assert packed(tmp_path, split_files()).findings == ()


def test_an_image_of_two_subjects_is_a_conflict_and_its_training_copies_are_dropped(
    tmp_path: Path,
) -> None:
    files = split_files()
    files["train/b/0.png"] = files["train/a/0.png"]
    result = packed(tmp_path, files, conflicting_label="drop")
    assert result.report()["found"]["conflicting_label"] == 1
    assert not {"train/a/0.png", "train/b/0.png"} & set(result.files)


@pytest.mark.parametrize("split", ["train", "test"])
def test_an_image_of_two_subjects_is_a_conflict_however_it_is_encoded(
    tmp_path: Path, split: str
) -> None:
    files = split_files()
    again = encoded(noise(0), "JPEG", quality=60)
    assert again != encoded(noise(0))
    files[f"{split}/b/again.jpg"] = again
    result = packed(tmp_path, files)
    (finding,) = result.findings
    assert finding.kind == "conflicting_label"
    assert set(finding.files) == {"train/a/0.png", f"{split}/b/again.jpg"}


def test_nearly_equal_images_of_one_subject_in_one_split_are_no_finding(tmp_path: Path) -> None:
    again = encoded(noise(1000), "JPEG", quality=60)
    assert packed(tmp_path, split_files() | {"test/a/again.jpg": again}).findings == ()
    assert packed(tmp_path, split_files() | {"train/a/again.jpg": again}).findings


@pytest.mark.parametrize("classes", [{}, {"ours": ("a", "d"), "theirs": ("b", "c")}])
def test_a_subject_without_a_readable_image_is_empty(
    tmp_path: Path, classes: dict[str, tuple[str, ...]]
) -> None:
    files = split_files() | {
        f"{split}/d/{n}.png": b"no" for split in ("train", "test") for n in "12"
    }
    origin = write_folder(tmp_path / "origin", files)
    result = pack(settings(origin, classes=classes), seed=0)
    found = [finding.files for finding in result.findings if finding.kind == "empty_subject"]
    assert found == ([] if classes else [("d",)])
    with pytest.raises(AuditError, match=r"d: empty_subject, none of its files is a readable"):
        pack(settings(origin, audit={"empty_subject": "fail"}), seed=0)


def test_an_empty_folder_is_found_where_subjects_are_grouped(tmp_path: Path) -> None:
    origin = write_folder(tmp_path / "origin", split_files())
    for name in ("dora", "eve"):
        (tmp_path / "origin/train" / name).mkdir()
    classes = {"ours": ("a", "dora"), "theirs": ("b", "c")}
    with pytest.raises(AuditError, match="train/dora: empty_subject"):
        pack(settings(origin, classes=classes, audit={"empty_subject": "fail"}), seed=0)


def test_warn_reports_and_keeps(tmp_path: Path) -> None:
    files = split_files()
    files["train/a/again.png"] = files["test/a/0.png"]
    result = packed(tmp_path, files, duplicate="warn")
    assert "train/a/again.png" in result.files
    (finding,) = result.findings
    assert finding.dropped == ()


@pytest.mark.parametrize(
    ("kind", "name", "content"),
    [
        ("unreadable", "train/a/broken.jpg", b"not an image"),
        ("duplicate", "train/a/again.png", encoded(noise(1000))),
        ("conflicting_label", "train/b/again.png", encoded(noise(1000))),
    ],
)
def test_fail_stops_and_names_the_file(
    tmp_path: Path, kind: str, name: str, content: bytes
) -> None:
    with pytest.raises(AuditError, match=f"{kind}.*data.audit.{kind}") as caught:
        packed(tmp_path, split_files() | {name: content}, **{kind: "fail"})
    assert name in str(caught.value)


def test_an_unreadable_file_is_left_out_and_reported(tmp_path: Path) -> None:
    result = packed(tmp_path, split_files() | {"train/a/broken.jpg": b"not an image"})
    (finding,) = result.findings
    assert finding.kind == "unreadable" and finding.files == ("train/a/broken.jpg",)


def test_a_test_split_without_a_readable_image_is_refused_rather_than_replaced(
    tmp_path: Path,
) -> None:
    files = {
        name: b"not an image" if name.startswith("test/") else content
        for name, content in split_files().items()
    }
    with pytest.raises(OriginError, match="no image of its test split can be read"):
        packed(tmp_path, files)


def test_dropping_a_subjects_last_training_image_is_refused(tmp_path: Path) -> None:
    files = split_files(each=3)
    for n in range(3):
        files[f"train/a/{n}.png"] = files["test/a/0.png"]
    with pytest.raises(OriginError, match="the audit or a correction took its last image"):
        packed(tmp_path, files)


def test_the_manifest_lists_every_row_with_the_digest_of_its_pixels(tmp_path: Path) -> None:
    result = packed(tmp_path, split_files())
    rows = list(csv.DictReader(result.manifest_csv().splitlines()))
    assert [row["file"] for row in rows] == list(result.files)
    for place, row in enumerate(rows):
        pixels = result.faces.images[place].permute(1, 2, 0).contiguous().numpy()
        assert row["sha256"] == pixel_digest(pixels)
        assert row["split"] == splits_of(result)[row["file"]].name
        assert row["subject"] == result.faces.subjects[int(result.faces.labels[place])]


def test_packing_twice_gives_the_same_bytes_and_reading_back_the_same_faces(
    tmp_path: Path,
) -> None:
    data: Data = settings(write_folder(tmp_path / "origin", split_files()))
    for name in ("one", "two"):
        pack(data, 0).faces.save(tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    loaded = FaceSet.load(tmp_path / "one")
    assert loaded.subjects == ("a", "b", "c")
    assert loaded.images.shape == (24, 3, 32, 32)


def test_the_contact_sheet_has_a_row_for_every_subject(tmp_path: Path) -> None:
    sheet = contact_sheet(packed(tmp_path, split_files()).faces)
    assert sheet.width > 800 and 200 < sheet.height < 400


def test_the_real_archive_holds_near_duplicates_across_splits(real_data: Path) -> None:
    archive = real_data / "face_dataset.tar.gz"
    result = pack(Data.model_validate({"origin": str(archive)}), seed=0)
    report = result.report()
    assert report["images"]["test"] == 160 and report["subjects"] == 16
    assert sum(report["images"].values()) + report["dropped"] == 800
    assert report["found"]["unreadable"] == 0


def test_the_olivetti_archive_has_forty_subjects_with_two_test_images_each(real_data: Path) -> None:
    archive = real_data / "orl_faces.tar.gz"
    report = pack(Data.model_validate({"origin": str(archive)}), seed=0).report()
    assert report["subjects"] == 40
    assert report["images"]["test"] == 80


def test_the_audit_reads_the_entries_equally_often_for_any_number_of_findings() -> None:
    class Entries(list[Entry]):
        walks = 0

        def __iter__(self) -> Iterator[Entry]:
            type(self).walks += 1
            return super().__iter__()

    def walks(each: int) -> int:
        Entries.walks = 0
        entries = Entries(Entry(f"a/{n}", "a") for n in range(2 * each))
        pixels = [noise(n % each, 16) for n in range(2 * each)]
        splits = np.zeros(2 * each, np.uint8)
        assert len(audit(DecodedImages(entries, pixels, splits), Audit(duplicate="drop"))) == each
        return Entries.walks

    assert walks(5) == walks(50)
