"""Strangers: faces of people that no network is trained on, in two halves of whole identities.

One half sets the threshold below which an answer is `unknown`, the other measures it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence

import torch

from src.data.entries import Entry
from src.data.faceset import FaceSet, Split
from src.data.spool import SpooledImages
from src.errors import OriginError

LEAST = 2  # identities: one for each half


def hold_out(where: str, subjects: Collection[str], share: float, seed: int) -> frozenset[str]:
    """The subjects to keep out as strangers: the first by a hash of the seed and the name.

    At least two where `share` is above 0. Raises OriginError where fewer than two would be left.
    """
    if not share:
        return frozenset()
    count = max(LEAST, round(share * len(subjects)))
    if len(subjects) - count < 2:
        what = f"has {len(subjects)} subjects, too few to hold {count} out as strangers"
        raise OriginError(where, what, "add subjects, or set unknown.held_out to 0")
    ranked = sorted(subjects, key=lambda name: hashlib.sha256(f"{seed}/{name}".encode()).digest())
    return frozenset(ranked[:count])


def nobody(size: int) -> FaceSet:
    """No strangers."""
    none = torch.zeros(0, dtype=torch.int64)
    return FaceSet(torch.zeros(0, 3, size, size, dtype=torch.uint8), none, none.byte(), ())


def in_halves(entries: Sequence[Entry], pixels: SpooledImages) -> FaceSet:
    """The strangers' images: split `val` sets the threshold, `test` measures it.

    Identities take turns, by name. Raises OriginError where there are fewer than two.
    """
    names = sorted({entry.subject for entry in entries})
    if len(names) < LEAST:
        what = "there is only one, but a threshold takes one to set it and one to measure it"
        raise OriginError("strangers", what, "add some, or set unknown.origin to data/nobody.yaml")
    rows = sorted(range(len(entries)), key=lambda row: (entries[row].subject, entries[row].file))
    number = {name: label for label, name in enumerate(names)}
    labels = torch.tensor([number[entries[row].subject] for row in rows])
    split = torch.where(labels % 2 == 0, int(Split.val), int(Split.test)).to(torch.uint8)
    return FaceSet(pixels.chosen(rows).tensor(), labels, split, tuple(names))
