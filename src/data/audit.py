"""Finding duplicates and wrong labels in a dataset before anything is trained on it.

Duplicates have the same sha256 of their decoded pixels. Near-duplicates have similar perceptual
hashes: 64 bits of an image's low frequencies, which survive re-encoding, scaling and small changes
of brightness. A policy for each kind of finding says whether to stop, to drop images or to warn.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from src.config import Audit, Policy
from src.data.entries import Entry, Pixels
from src.data.faceset import Split
from src.data.split import Splits
from src.errors import AuditError

Hashes = NDArray[np.uint64]
TILE = 1024  # rows compared with as many others at a time
MAX_PAIRS = 2**20  # of near-duplicates; findings of more would neither fit nor be read
KINDS = ("unreadable", "empty_subject", "duplicate", "near_duplicate", "conflicting_label")


@dataclass(frozen=True)
class AuditFinding:
    """A problem with `files`, and those of them that were left out of the dataset for it."""

    kind: str
    files: tuple[str, ...]
    note: str = ""
    dropped: tuple[str, ...] = ()

    def __str__(self) -> str:
        note = f" ({self.note})" if self.note else ""
        return f"{self.kind.replace('_', ' ')}: {', '.join(self.files)}{note}; {self.outcome}"

    @property
    def outcome(self) -> str:
        """Which files were left out, in words."""
        if not self.dropped:
            return "kept"
        if self.dropped == self.files:
            return "left out"
        return f"left out: {', '.join(self.dropped)}"


@dataclass(frozen=True)
class DecodedImages:
    """N entries with their decoded pixels and their splits."""

    entries: Sequence[Entry]
    pixels: Iterable[Pixels]
    splits: Splits

    @cached_property
    def split_of(self) -> dict[str, int]:
        """The split of each file."""
        files = (entry.file for entry in self.entries)
        return dict(zip(files, self.splits.tolist(), strict=True))

    @cached_property
    def prints(self) -> tuple[list[str], Hashes]:
        """Each image's sha256 and perceptual hash, for which its pixels are read once."""
        digests, hashes = [], np.empty(len(self.entries), np.uint64)
        for row, pixels in enumerate(self.pixels):
            digests.append(pixel_digest(pixels))
            hashes[row] = perceptual_hash(pixels)
        return digests, hashes


def pixel_digest(pixels: Pixels) -> str:
    """sha256 of a decoded image, the same for every encoding of the same pixels."""
    return hashlib.sha256(pixels.tobytes()).hexdigest()


def perceptual_hash(pixels: Pixels) -> np.uint64:
    """64 bits: which of the 8x8 lowest frequencies of the image at 32x32 exceed their median.

    The DCT hash ("pHash") of Zauner (2010), with the constant term left out of the median.
    """
    from PIL import Image
    from scipy.fft import dctn

    grey = Image.fromarray(pixels).convert("L").resize((32, 32), Image.Resampling.BOX)
    low = dctn(np.asarray(grey, dtype=np.float64))[:8, :8].ravel()
    bits = low > np.median(low[1:])
    return np.uint64(int.from_bytes(np.packbits(bits).tobytes()))


def audit(images: DecodedImages, policies: Audit) -> list[AuditFinding]:
    """Find duplicates, near-duplicates in different splits, and conflicting labels in any.

    Policy `drop` never drops test images. Of duplicates and near-duplicates it keeps one, if
    possible in the test split, else in validation; of conflicting labels it keeps none outside of
    the test split. Raises AuditError for a finding whose policy is `fail`.
    """
    findings = [*_duplicates(images), *_near_duplicates(images, policies.near_distance)]
    return [_apply_policy(finding, policies, images) for finding in findings]


def unusable(kind: str, files: Sequence[tuple[str, str]], policy: Policy) -> list[AuditFinding]:
    """Findings about `files` that hold no image, given with a note each.

    They are left out under any policy but `fail`, which raises AuditError.
    """
    findings = [AuditFinding(kind, (file,), note, dropped=(file,)) for file, note in files]
    if findings and policy == "fail":
        _fail(findings[0], len(findings))
    return findings


def _duplicates(images: DecodedImages) -> Iterator[AuditFinding]:
    groups: dict[str, list[int]] = defaultdict(list)
    for row, digest in enumerate(images.prints[0]):
        groups[digest].append(row)
    for rows in groups.values():
        if len(rows) > 1:
            conflict = len({images.entries[row].subject for row in rows}) > 1
            kind = "conflicting_label" if conflict else "duplicate"
            yield AuditFinding(kind, _files(images, rows), "the same pixels")


def _near_duplicates(images: DecodedImages, distance: int) -> Iterator[AuditFinding]:
    """Pairs with different pixels, at most `distance` bits apart, of two splits or two subjects."""
    digests, hashes = images.prints
    _, subjects = np.unique([entry.subject for entry in images.entries], return_inverse=True)
    parts = images.splits.astype(np.int64) * len(subjects) + subjects
    for first, second, bits in near_pairs(hashes, parts, distance):
        if digests[first] != digests[second]:
            names = {images.entries[row].subject for row in (first, second)}
            kind = "near_duplicate" if len(names) == 1 else "conflicting_label"
            yield AuditFinding(kind, _files(images, [first, second]), f"{bits} of 64 bits differ")


def near_pairs(
    hashes: Hashes, parts: NDArray[np.integer[Any]], distance: int
) -> Iterator[tuple[int, int, int]]:
    """Rows of pairs in different parts at most `distance` bits apart, and that number of bits.

    Two such hashes agree in at least one of `distance` + 1 pieces, so only those that share a piece
    are compared (Manku et al., 2007). Raises AuditError for more than MAX_PAIRS.
    """
    widths = [len(bits) for bits in np.array_split(np.arange(64), distance + 1)]
    pieces: list[np.uint64] = []  # masks of those done with
    found, count = [np.empty((0, 3), np.int64)], 0
    for width, start in zip(widths, np.cumsum([0, *widths]).tolist(), strict=False):
        mask = np.uint64(((1 << width) - 1) << start)
        for rows in _alike(hashes & mask):
            for first, second in product(range(0, len(rows), TILE), repeat=2):
                ones, others = rows[first : first + TILE], rows[second : second + TILE]
                differ = hashes[ones, None] ^ hashes[None, others]
                bits = np.bitwise_count(differ)
                near = (bits <= distance) & (parts[ones, None] < parts[None, others])
                for before in pieces:  # pairs that agree in an earlier piece are found already
                    near &= (differ & before) != 0
                one, other = near.nonzero()
                found.append(np.column_stack([ones[one], others[other], bits[one, other]]))
                if (count := count + len(one)) > MAX_PAIRS:
                    mend = "lower data.audit.near_distance, or remove what is alike"
                    what = f"more than {MAX_PAIRS:,} pairs at most {distance} bits apart"
                    raise AuditError("near-duplicates", what, mend)
        pieces.append(mask)
    pairs = np.concatenate(found)
    for pair in pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]:
        yield int(pair[0]), int(pair[1]), int(pair[2])


def _alike(keys: Hashes) -> Iterator[NDArray[np.int64]]:
    """The rows of each key that several have, ascending."""
    order = np.argsort(keys, kind="stable")
    ends = np.flatnonzero(np.diff(keys[order], append=~keys[order[-1:]]) != 0) + 1
    starts = np.concatenate([[0], ends[:-1]])
    for several in np.flatnonzero(ends - starts > 1):
        yield order[starts[several] : ends[several]]


def _apply_policy(finding: AuditFinding, policies: Audit, images: DecodedImages) -> AuditFinding:
    policy: Policy = getattr(policies, finding.kind)
    if policy == "fail":
        _fail(finding, 1)
    if policy == "warn":
        return finding
    split_of = images.split_of
    if finding.kind == "conflicting_label":
        dropped = [file for file in finding.files if split_of[file] != Split.test]
    else:
        kept = max(finding.files, key=lambda file: split_of[file])
        dropped = [f for f in finding.files if f != kept and split_of[f] != Split.test]
    return AuditFinding(finding.kind, finding.files, finding.note, tuple(dropped))


def _files(images: DecodedImages, rows: Sequence[int]) -> tuple[str, ...]:
    return tuple(images.entries[row].file for row in rows)


def _fail(finding: AuditFinding, count: int) -> None:
    more = f" (and {count - 1} more)" if count > 1 else ""
    raise AuditError(
        ", ".join(finding.files),
        f"{finding.kind}{f', {finding.note}' if finding.note else ''}{more}",
        f"correct the data, or set data.audit.{finding.kind} to drop or warn",
    )
