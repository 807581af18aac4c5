"""Which images the audit leaves out of the dataset, by the splits that they are in."""

from __future__ import annotations

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from src.config import Audit
from src.data.audit import DecodedImages, audit
from src.data.entries import Entry
from src.data.faceset import Split
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
