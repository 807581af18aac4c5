"""Which images the audit leaves out of the dataset, by the splits that they are in."""

from __future__ import annotations

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from src.config import Audit
from src.data import audit as auditing
from src.data.audit import LISTED, DecodedImages, audit
from src.data.entries import Entry
from src.data.faceset import Split
from src.errors import AuditError
from tests.data.conftest import encoded, noise

Same = tuple[NDArray[np.uint8], NDArray[np.uint8]]
SAME = (noise(1), noise(1))
NEARLY = (noise(1), np.asarray(Image.open(io.BytesIO(encoded(noise(1), "JPEG", quality=60)))))
TRAIN, VAL, TEST = Split.train, Split.val, Split.test


def dropped(images: Same, subjects: str, splits: tuple[Split, Split]) -> str:
    """The numbers of those of two images, each of a subject and in a split, that are left out."""
    entries = [Entry(f"{number}", subject) for number, subject in enumerate(subjects)]
    policies = Audit(duplicate="drop", near_duplicate="drop", conflicting_label="drop")
    (finding,) = audit(DecodedImages(entries, images, np.array(splits, np.uint8)), policies)
    return "".join(finding.dropped)


@pytest.mark.parametrize("images", [SAME, NEARLY], ids=["the same", "nearly the same"])
def test_of_an_image_of_two_subjects_all_go_but_those_in_the_test_split(images: Same) -> None:
    assert dropped(images, "ab", (TRAIN, TRAIN)) == "01"
    assert dropped(images, "ab", (TRAIN, VAL)) == "01"
    assert dropped(images, "ab", (TRAIN, TEST)) == "0"
    assert dropped(images, "ab", (TEST, VAL)) == "1"
    assert dropped(images, "ab", (TEST, TEST)) == ""


@pytest.mark.parametrize("images", [SAME, NEARLY], ids=["the same", "nearly the same"])
def test_of_duplicates_in_two_splits_the_one_in_training_goes_rather_than_in_validation(
    images: Same,
) -> None:
    assert dropped(images, "aa", (TRAIN, TEST)) == "0"
    assert dropped(images, "aa", (TEST, VAL)) == "1"
    assert dropped(images, "aa", (TRAIN, VAL)) == "0"
    assert dropped(images, "aa", (VAL, TRAIN)) == "1"


def test_of_duplicates_in_one_split_the_first_stays_and_in_the_test_split_all() -> None:
    assert dropped(SAME, "aa", (TRAIN, TRAIN)) == "1"
    assert dropped(SAME, "aa", (VAL, VAL)) == "1"
    assert dropped(SAME, "aa", (TEST, TEST)) == ""


def test_a_conflict_does_not_hide_a_duplicate_across_splits() -> None:
    entries = [Entry("train/ann/1", "ann"), Entry("test/ann/2", "ann"), Entry("train/bob/3", "bob")]
    splits = np.array([TRAIN, TEST, TRAIN], np.uint8)
    images = DecodedImages(entries, [noise(1)] * 3, splits)
    found = {each.kind: each for each in audit(images, Audit())}
    assert found["conflicting_label"].files == ("train/ann/1", "test/ann/2", "train/bob/3")
    assert found["duplicate"].files == ("train/ann/1", "test/ann/2")
    assert found["duplicate"].dropped == ("train/ann/1",)
    with pytest.raises(AuditError, match=r"train/ann/1, test/ann/2: duplicate"):
        audit(images, Audit(duplicate="fail"))


def alike(count: int, subjects: str) -> DecodedImages:
    """Of each subject `count` training and `count` test images that differ in one pixel."""
    images, entries, splits = [], [], []
    for number, (subject, split) in enumerate(
        (subject, split) for subject in subjects for split in (TRAIN, TEST) for _ in range(count)
    ):
        pixels = noise(1).copy()
        pixels[0, 0] = number // 256, number % 256, 0
        images.append(pixels)
        entries.append(Entry(f"{subject}/{number}", subject))
        splits.append(split)
    return DecodedImages(entries, images, np.array(splits, np.uint8))


def test_near_pairs_beyond_those_listed_are_counted_and_stop_nothing() -> None:
    *listed, rest = audit(alike(80, "a"), Audit())
    assert [each.kind for each in (*listed, rest)] == ["near_duplicate"] * (LISTED + 1)
    assert sum(each.count for each in listed) == LISTED and rest.count == 80 * 80 - LISTED
    assert str(rest) == "near duplicate: 2,304 more pairs, which are not listed; kept"


def test_too_many_near_pairs_are_refused_only_where_something_is_to_be_done_about_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(auditing, "MAX_PAIRS", 50)
    images = alike(8, "ab")
    conflicts, near = 16 * 16, 2 * 8 * 8
    with pytest.raises(
        AuditError, match=r"more than 50 pairs.*data\.audit\.near_duplicate to warn"
    ):
        audit(images, Audit(near_duplicate="drop"))
    with pytest.raises(AuditError, match=r"more than 50 pairs.*data\.audit\.conflicting_label to"):
        audit(images, Audit(conflicting_label="drop"))
    kinds = [each.kind for each in audit(images, Audit())]
    assert kinds.count("conflicting_label") == conflicts and kinds.count("near_duplicate") == near
