"""Splitting a dataset into training, validation and test images.

Each subject is split on its own. Its images are ranked by a hash of the seed and their file name,
so that an image's split depends neither on the order of reading nor on other subjects, nor on
whether the origin is a folder or an archive.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from src.data.entries import Entry
from src.data.faceset import Split
from src.errors import OriginError

Splits = NDArray[np.uint8]
UNKNOWN = "unknown"  # what the answer to a stranger is called


def assign(
    where: str, entries: Sequence[Entry], val_fraction: float, test_fraction: float, seed: int
) -> Splits:
    """(N,) uint8, a `Split` for each entry.

    The origin's test split is kept; where it has none, `test_fraction` of each subject's images
    become the test split. Of the rest, `val_fraction` become the validation split. Every subject
    has at least one image in each split. Raises OriginError where a subject has too few images,
    or is in only one of the origin's splits.
    """
    check_subjects(where, entries)
    splits = np.full(len(entries), Split.train, dtype=np.uint8)
    rows_of = defaultdict(list)
    for row, entry in enumerate(entries):
        if entry.split is Split.test:
            splits[row] = Split.test
        else:
            rows_of[entry.subject].append(row)
    has_test = bool((splits == Split.test).any())
    for subject, rows in rows_of.items():
        _check_count(where, subject, len(rows), has_test)
        ranked = sorted(rows, key=lambda row: _rank(entries[row], seed))
        tests = 0 if has_test else _share(len(rows), test_fraction, len(rows) - 1)
        vals = _share(len(rows) - tests, val_fraction, len(rows) - tests)
        splits[ranked[:tests]] = Split.test
        splits[ranked[tests : tests + vals]] = Split.val
    return splits


def check_remaining(where: str, entries: Sequence[Entry], splits: Splits) -> None:
    """Raise OriginError where the audit or the corrections left a subject no image of a split."""
    for name in Split:
        left = {
            entry.subject for entry, split in zip(entries, splits, strict=True) if split == name
        }
        for subject in sorted({entry.subject for entry in entries} - left):
            raise OriginError(
                f"{where}: {subject}",
                f"the audit or a correction took its last image of the {name.name} split",
                "add images, remove the subject, set the policies of data.audit to warn, or take "
                "back the correction",
            )


def check_subjects(where: str, entries: Sequence[Entry]) -> None:
    """Raise OriginError for fewer than two subjects, or one in only one of the origin's splits.

    And for one whose name is the answer to strangers.
    """
    train = {entry.subject for entry in entries if entry.split is not Split.test}
    test = {entry.subject for entry in entries if entry.split is Split.test}
    if test and train != test:
        only = [f"{subject} only in train" for subject in sorted(train - test)]
        only += [f"{subject} only in test" for subject in sorted(test - train)]
        more = f" and {len(only) - 5} more" if len(only) > 5 else ""
        raise OriginError(
            where, f"train and test differ: {', '.join(only[:5])}{more}", "give both every subject"
        )
    for subject in sorted(train):
        if subject.casefold() == UNKNOWN:
            mend = "give these faces as unknown.origin, a folder for each person, or rename it"
            raise OriginError(f"{where}: {subject}", f"strangers are called {UNKNOWN}", mend)
    if len(train) < 2:
        raise OriginError(where, "has fewer than two subjects", "add a folder for each subject")


def _check_count(where: str, subject: str, count: int, has_test: bool) -> None:
    least = 2 if has_test else 3
    if count < least:
        images = "1 image" if count == 1 else f"{count} images"
        raise OriginError(
            f"{where}: {subject}",
            f"has {images}{' to train on' if has_test else ''}, too few to split",
            f"give it at least {least}, or remove it",
        )


def _share(images: int, fraction: float, limit: int) -> int:
    """`fraction` of `images`, rounded; at least 1 and at most `limit` - 1."""
    return min(max(1, round(images * fraction)), limit - 1)


def _rank(entry: Entry, seed: int) -> tuple[bytes, str]:
    """Images of one name, of subjects that `data.classes` joins, follow in the order of paths."""
    name = PurePosixPath(entry.file).name
    return hashlib.sha256(f"{seed}/{entry.subject}/{name}".encode()).digest(), entry.file
