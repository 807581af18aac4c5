"""Finding duplicates and wrong labels in a dataset before anything is trained on it.

Duplicates have the same sha256 of their decoded pixels. Near-duplicates have similar perceptual
hashes: 64 bits of an image's low frequencies, which survive re-encoding, scaling and small changes
of brightness. A policy for each kind of finding says whether to stop, to drop images or to warn.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
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
MAX_PAIRS = 2**20  # of near-duplicates; more would not fit
LISTED = 2**12  # pairs of each kind under `warn`; nobody reads more
KINDS = ("unreadable", "empty_subject", "duplicate", "near_duplicate", "conflicting_label")


@dataclass(frozen=True)
class AuditFinding:
    """A problem with `files`, and those of them that were left out of the dataset for it.

    count: how many problems it stands for; those beyond LISTED are one finding without files.
    """

    kind: str
    files: tuple[str, ...]
    note: str = ""
    dropped: tuple[str, ...] = ()
    count: int = 1

    def __str__(self) -> str:
        files = ", ".join(self.files)
        what = f"{files} ({self.note})" if files and self.note else files or self.note
        return f"{self.kind.replace('_', ' ')}: {what}; {self.outcome}"

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
    the test split. Under `warn` it lists the first LISTED near pairs of each kind and counts the
    rest. Raises AuditError for a finding whose policy is `fail`, and for more than MAX_PAIRS near
    pairs of a kind whose policy is not `warn`.
    """
    findings = [*_duplicates(images), *_near_duplicates(images, policies)]
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
        by_subject: dict[str, list[int]] = defaultdict(list)
        for row in rows:
            by_subject[images.entries[row].subject].append(row)
        if len(by_subject) > 1:
            yield AuditFinding("conflicting_label", _files(images, rows), "the same pixels")
        for own in by_subject.values():
            if len(own) > 1:
                yield AuditFinding("duplicate", _files(images, own), "the same pixels")


def _near_duplicates(images: DecodedImages, policies: Audit) -> Iterator[AuditFinding]:
    """Pairs with different pixels but similar hashes, of two splits or two subjects."""
    digests, hashes = images.prints
    pixels = _numbered(digests)
    subjects = _numbered([entry.subject for entry in images.entries])
    parts = images.splits.astype(np.int64) * len(subjects) + subjects
    found, counts = [np.empty((0, 3), np.int64)], Counter[str]()
    for pairs in _near(hashes, parts, policies.near_distance):
        one, other = pairs[:, 0], pairs[:, 1]
        differ, same = pixels[one] != pixels[other], subjects[one] == subjects[other]
        for kind, chosen in ("near_duplicate", same), ("conflicting_label", ~same):
            warned = getattr(policies, kind) == "warn"
            some, before = pairs[differ & chosen], counts[kind]
            counts[kind] += len(some)
            if counts[kind] > MAX_PAIRS and not warned:
                raise _too_many(policies.near_distance, f"set data.audit.{kind} to warn, or ")
            found.append(some[: max(0, LISTED - before)] if warned else some)
    for first, second, bits in _ordered(found):
        kind = "near_duplicate" if subjects[first] == subjects[second] else "conflicting_label"
        counts[kind] -= 1
        yield AuditFinding(kind, _files(images, [first, second]), f"{bits} of 64 bits differ")
    for kind, more in counts.items():
        if more:
            yield AuditFinding(kind, (), f"{more:,} more pairs, which are not listed", count=more)


def _numbered(values: Sequence[str]) -> NDArray[np.int64]:
    """(N,) a number for each value, the same for equal ones, in the order of the values."""
    numbers = {value: number for number, value in enumerate(sorted({*values}))}
    return np.array([numbers[value] for value in values], np.int64)


def near_pairs(
    hashes: Hashes, parts: NDArray[np.integer[Any]], distance: int
) -> Iterator[tuple[int, int, int]]:
    """Rows of pairs in different parts at most `distance` bits apart, and that number of bits.

    Raises AuditError for more than MAX_PAIRS.
    """
    found, count = [np.empty((0, 3), np.int64)], 0
    for pairs in _near(hashes, parts, distance):
        found.append(pairs)
        if (count := count + len(pairs)) > MAX_PAIRS:
            raise _too_many(distance)
    yield from _ordered(found)


def _near(
    hashes: Hashes, parts: NDArray[np.integer[Any]], distance: int
) -> Iterator[NDArray[np.int64]]:
    """Yield the pairs of `near_pairs` as (M, 3), a few at a time, in no order.

    Two such hashes agree in at least one of `distance` + 1 pieces, so only those that share a piece
    are compared (Manku et al., 2007).
    """
    widths = [len(bits) for bits in np.array_split(np.arange(64), distance + 1)]
    pieces: list[np.uint64] = []  # masks of those done with
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
                yield np.column_stack([ones[one], others[other], bits[one, other]])
        pieces.append(mask)


def _ordered(found: Sequence[NDArray[np.int64]]) -> Iterator[tuple[int, int, int]]:
    pairs = np.concatenate(found)
    for pair in pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]:
        yield int(pair[0]), int(pair[1]), int(pair[2])


def _too_many(distance: int, instead: str = "") -> AuditError:
    what = f"more than {MAX_PAIRS:,} pairs at most {distance} bits apart"
    mend = f"{instead}lower data.audit.near_distance, or remove what is alike"
    return AuditError("near-duplicates", what, mend)


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
