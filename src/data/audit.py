"""What is wrong with a dataset, found before any training, and what is done about it.

Exact duplicates are equal by the sha256 of their decoded pixels; near-duplicates by a 64-bit
perceptual hash of their low frequencies, which survives re-encoding, scaling and small changes of
brightness. A policy per kind says whether a finding stops the run, drops images or is only told.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from src.config import Audit, Policy
from src.data.entries import Entry, Pixels
from src.data.faceset import Split
from src.data.split import Splits
from src.errors import AuditError

Hashes = NDArray[np.uint64]
CHUNK = 256  # rows compared with all others at a time
KINDS = ("unreadable", "empty_subject", "duplicate", "near_duplicate", "conflicting_label")


@dataclass(frozen=True)
class AuditFinding:
    """Something wrong with `files`; `dropped` are those of them that were left out for it."""

    kind: str
    files: tuple[str, ...]
    note: str = ""
    dropped: tuple[str, ...] = ()

    def __str__(self) -> str:
        note = f" ({self.note})" if self.note else ""
        return f"{self.kind.replace('_', ' ')}: {', '.join(self.files)}{note}; {self.done}"

    @property
    def done(self) -> str:
        """What was done about it, in words."""
        if not self.dropped:
            return "kept"
        if self.dropped == self.files:
            return "left out"
        return f"left out: {', '.join(self.dropped)}"


@dataclass(frozen=True)
class DecodedImages:
    """Decoded pictures of N entries with their splits; the parallel sequences of one audit."""

    entries: Sequence[Entry]
    pixels: Sequence[Pixels]
    splits: Splits

    @cached_property
    def split_of(self) -> dict[str, int]:
        """The split of each file."""
        files = (entry.file for entry in self.entries)
        return dict(zip(files, self.splits.tolist(), strict=True))

    @cached_property
    def digests(self) -> list[str]:
        """sha256 of each picture's pixels."""
        return [pixel_digest(pixels) for pixels in self.pixels]


def pixel_digest(pixels: Pixels) -> str:
    """sha256 of a decoded picture, whatever file it came from."""
    return hashlib.sha256(pixels.tobytes()).hexdigest()


def perceptual_hash(pixels: Pixels) -> np.uint64:
    """64 bits: which of the 8x8 lowest frequencies of the 32x32 grey picture exceed their median.

    The DCT hash ("pHash") of Zauner (2010), constant term left out of the median.
    """
    from PIL import Image
    from scipy.fft import dctn

    grey = Image.fromarray(pixels).convert("L").resize((32, 32), Image.Resampling.BOX)
    low = dctn(np.asarray(grey, dtype=np.float64))[:8, :8].ravel()
    bits = low > np.median(low[1:])
    return np.uint64(int.from_bytes(np.packbits(bits).tobytes()))


def audit(pictures: DecodedImages, policies: Audit) -> list[AuditFinding]:
    """Duplicates, near-duplicates across splits and conflicting labels; raises AuditError on fail.

    `drop` leaves out of training what is also elsewhere: the training side of a pair across
    splits, the later of two within training, every training copy where names conflict.
    """
    findings = [*_equal(pictures), *_alike(pictures, policies.near_distance)]
    return [_acted_on(finding, policies, pictures) for finding in findings]


def unusable(kind: str, files: Sequence[tuple[str, str]], policy: Policy) -> list[AuditFinding]:
    """Findings about files that are no pictures, each with its note; raises AuditError.

    They are left out whatever the policy says.
    """
    findings = [AuditFinding(kind, (file,), note, dropped=(file,)) for file, note in files]
    if findings and policy == "fail":
        _fail(findings[0], len(findings))
    return findings


def _equal(pictures: DecodedImages) -> Iterator[AuditFinding]:
    groups: dict[str, list[int]] = defaultdict(list)
    for row, digest in enumerate(pictures.digests):
        groups[digest].append(row)
    for rows in groups.values():
        if len(rows) > 1:
            conflict = len({pictures.entries[row].subject for row in rows}) > 1
            kind = "conflicting_label" if conflict else "duplicate"
            yield AuditFinding(kind, _files(pictures, rows), "the same pixels")


def _alike(pictures: DecodedImages, distance: int) -> Iterator[AuditFinding]:
    """Pairs in different splits that differ in 1 to `distance` bits, or in pixels only."""
    hashes = np.array([perceptual_hash(p) for p in pictures.pixels], dtype=np.uint64)
    digests = pictures.digests
    for first, second, bits in near_pairs(hashes, pictures.splits, distance):
        if digests[first] != digests[second]:
            names = {pictures.entries[row].subject for row in (first, second)}
            kind = "near_duplicate" if len(names) == 1 else "conflicting_label"
            yield AuditFinding(kind, _files(pictures, [first, second]), f"{bits} of 64 bits differ")


def near_pairs(hashes: Hashes, splits: Splits, distance: int) -> Iterator[tuple[int, int, int]]:
    """Rows of pairs across splits that differ in at most `distance` bits, and how many."""
    for start in range(0, len(hashes), CHUNK):
        rows = slice(start, start + CHUNK)
        bits = np.bitwise_count(hashes[rows, None] ^ hashes[None, :])
        near = (bits <= distance) & (splits[rows, None] < splits[None, :])
        for first, second in np.argwhere(near).tolist():
            yield start + first, second, int(bits[first, second])


def _acted_on(finding: AuditFinding, policies: Audit, pictures: DecodedImages) -> AuditFinding:
    policy: Policy = getattr(policies, finding.kind)
    if policy == "fail":
        _fail(finding, 1)
    if policy == "warn":
        return finding
    split_of = pictures.split_of
    if finding.kind == "conflicting_label":
        dropped = [file for file in finding.files if split_of[file] != Split.test]
    else:
        kept = max(finding.files, key=lambda file: split_of[file])
        dropped = [f for f in finding.files if f != kept and split_of[f] != Split.test]
    return AuditFinding(finding.kind, finding.files, finding.note, tuple(dropped))


def _files(pictures: DecodedImages, rows: Sequence[int]) -> tuple[str, ...]:
    return tuple(pictures.entries[row].file for row in rows)


def _fail(finding: AuditFinding, count: int) -> None:
    more = f" (and {count - 1} more)" if count > 1 else ""
    raise AuditError(
        ", ".join(finding.files),
        f"{finding.kind}{f', {finding.note}' if finding.note else ''}{more}",
        f"mend the data, or set data.audit.{finding.kind} to drop or warn",
    )
