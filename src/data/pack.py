"""Packing an origin into one audited and split dataset."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from src.config import Data
from src.data import audit
from src.data.audit import KINDS, AuditFinding, DecodedImages, pixel_digest
from src.data.corrected import Corrections
from src.data.decode import decode
from src.data.entries import Content, Entry, Origin, Pixels
from src.data.faceset import FaceSet, Split
from src.data.origins import open_origin
from src.data.split import Splits, assign, check_remaining, check_subjects
from src.data.spool import CHANNELS, SpooledImages
from src.data.strangers import hold_out, in_halves, nobody
from src.errors import ImageError, OriginError
from src.progress import tracked

THREADS, BATCH = 4, 256
BATCH_BYTES = 2**24  # of encoded files or pixels; a single image may have more


@dataclass(frozen=True)
class PackedDataset:
    """A dataset, the file that each row came from, and the findings of the audit.

    strangers: in two halves (`src.data.strangers`). corrections: how many images were renamed,
    dropped and kept by a person. note: why there are no strangers, or fewer than given.
    """

    faces: FaceSet
    files: tuple[str, ...]
    findings: tuple[AuditFinding, ...]
    strangers: FaceSet
    corrections: Mapping[str, int]
    note: str = ""

    def manifest_csv(self) -> str:
        """One row per image: file, subject, split, sha256 of its pixels."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("file", "subject", "split", "sha256"))
        for row, file in enumerate(self.files):
            pixels = self.faces.images[row].permute(1, 2, 0).contiguous().numpy()
            subject = self.faces.subjects[int(self.faces.labels[row])]
            split = Split(int(self.faces.split[row])).name
            writer.writerow((file, subject, split, pixel_digest(pixels)))
        return text.getvalue()

    def report(self) -> dict[str, Any]:
        """Counts for `dvc metrics`, and every finding with the files dropped for it.

        `dropped` counts files, and so leaves out empty subjects.
        """
        counts = Counter[str]()
        for finding in self.findings:
            counts[finding.kind] += finding.count
        with_files = [each for each in self.findings if each.kind != "empty_subject"]
        dropped = {file for finding in with_files for file in finding.dropped}
        sizes = self.faces.labels.bincount(minlength=len(self.faces.subjects))
        return {
            "subjects": len(self.faces.subjects),
            "images": {split.name: len(self.faces.rows(split)) for split in Split},
            "images_per_subject": {"least": int(sizes.min()), "most": int(sizes.max())},
            "strangers": len(self.strangers.subjects),
            "corrections": dict(self.corrections),
            "found": {kind: counts[kind] for kind in KINDS},
            "dropped": len(dropped),
            "findings": [asdict(finding) for finding in self.findings],
        }


def pack(
    data: Data, seed: int, *, strangers: str | None = None, held_out: float = 0.0
) -> PackedDataset:
    """Read, decode, split and audit the origin, and read that of the strangers.

    Where `strangers` gives none, they are a share `held_out` of the origin's own subjects. A
    correction leaves the split of its image and of all others as it was.
    Raises OriginError and AuditError; an unreadable file is a finding, not an error.
    """
    origin = open_origin(data)
    corrections = Corrections.of(data, origin.entries)
    images, unreadable = _decode(origin, data)
    entries = images.entries
    if _has_test(origin.entries) and not _has_test(entries):
        raise OriginError(
            data.origin,
            "no image of its test split can be read",
            f"replace {unreadable[-1][0]} and the others, or remove the split",
        )
    empty = _without_images(origin, images)
    others, note = _strangers(data, strangers, origin.style)
    if not others:
        held = hold_out(data.origin, {entry.subject for entry in entries}, held_out, seed)
        others = images.chosen(
            row
            for row, of in enumerate(entries)
            if of.subject in held and not corrections.change(of.file)  # then it may show a subject
        )
        images = images.chosen(row for row, of in enumerate(entries) if of.subject not in held)
        entries = images.entries
    policies = data.audit
    findings = [
        *audit.unusable("unreadable", unreadable, policies.unreadable),
        *audit.unusable("empty_subject", empty, policies.empty_subject),
    ]
    splits = assign(data.origin, entries, data.val_fraction, data.test_fraction, seed)
    images, splits = _corrected(data.origin, images, splits, corrections)
    entries = images.entries
    decoded = DecodedImages(entries, images.pixels, splits)
    found = audit.audit(decoded, policies)
    dropped = {file for finding in found for file in finding.dropped}
    kept = [row for row, entry in enumerate(entries) if entry.file not in dropped]
    kept.sort(key=lambda row: (entries[row].subject, splits[row], entries[row].file))
    check_remaining(data.origin, [entries[row] for row in kept], splits[kept])
    subjects = tuple(sorted({entry.subject for entry in entries}))
    number = {subject: label for label, subject in enumerate(subjects)}
    faces = FaceSet(
        images.pixels.chosen(kept).tensor(),
        torch.tensor([number[entries[row].subject] for row in kept]),
        torch.from_numpy(splits[kept]),
        subjects,
    )
    files = tuple(entries[row].file for row in kept)
    apart = _apart(others, faces, {decoded.prints[0][row] for row in kept})
    return PackedDataset(faces, files, (*findings, *found), apart, corrections.counts(), note)


@dataclass(frozen=True)
class _Images:
    """The images of an origin that can be decoded."""

    entries: Sequence[Entry]
    pixels: SpooledImages

    def __len__(self) -> int:
        return len(self.entries)

    def chosen(self, rows: Iterable[int]) -> _Images:
        """Some of them."""
        some = list(rows)
        return _Images([self.entries[row] for row in some], self.pixels.chosen(some))


def _corrected(
    where: str, images: _Images, splits: Splits, corrections: Corrections
) -> tuple[_Images, Splits]:
    """The images under the subjects that were decided, without those that were dropped."""
    if not corrections.by_file:
        return images, splits
    subjects = {entry.subject for entry in images.entries}
    decided = [corrections.applied(entry, subjects) for entry in images.entries]
    left = [row for row, entry in enumerate(decided) if entry]
    entries = [entry for entry in decided if entry]
    check_subjects(where, entries)
    return _Images(entries, images.pixels.chosen(left)), splits[left]


def _strangers(data: Data, where: str | None, style: str) -> tuple[_Images, str]:
    """The images of the strangers' origin, of whatever split, and what there is to say of them."""
    none = _Images([], SpooledImages(data.image_size))
    if where is None:
        return none, ""
    if not Path(where).exists():
        mend = "set unknown.origin to one, or to data/nobody.yaml"
        raise OriginError(where, "no such file or folder", mend)
    theirs = data.model_copy(update={"origin": where, "classes": {}})
    origin = open_origin(theirs)
    if origin.entries and origin.style != style:
        return none, f"{where} gives no strangers: it holds {origin.style}, the dataset {style}"
    images, unreadable = _decode(origin, theirs)
    note = f"{where}: {len(unreadable)} files are no readable images" if unreadable else ""
    return images, note


def _apart(others: _Images, faces: FaceSet, digests: Set[str]) -> FaceSet:
    """The strangers; raises OriginError where one of them is in the dataset, too, by `digests`."""
    if not others:
        return nobody(faces.images.shape[-1])
    where, mend = "strangers", "remove it from one of the two"
    if known := sorted({entry.subject for entry in others.entries} & {*faces.subjects}):
        what = "a stranger is called like a subject of the dataset"
        raise OriginError(f"{where}: {known[0]}", what, mend)
    for entry, pixels in zip(others.entries, others.pixels, strict=True):
        if pixel_digest(pixels) in digests:
            raise OriginError(f"{where}: {entry.file}", "the dataset has this image, too", mend)
    return in_halves(others.entries, others.pixels)


def _without_images(origin: Origin, images: _Images) -> list[tuple[str, str]]:
    """Folders without files, and subjects none of whose files is a readable image."""
    left = {entry.subject for entry in images.entries}
    broken = sorted({entry.subject for entry in origin.entries} - left)
    return [
        *((folder, "") for folder in origin.empty),
        *((subject, "none of its files is a readable image") for subject in broken),
    ]


def _has_test(entries: Iterable[Entry]) -> bool:
    return any(entry.split is Split.test for entry in entries)


def _decode(origin: Origin, data: Data) -> tuple[_Images, list[tuple[str, str]]]:
    """The images that can be decoded, and the other files with the reasons."""

    def attempt(item: tuple[Entry, Content]) -> tuple[Entry, Pixels | ImageError]:
        entry, content = item
        try:
            return entry, decode(entry.file, content, data)
        except ImageError as error:
            return entry, error

    entries: list[Entry] = []
    unreadable: list[tuple[str, str]] = []

    def decoded(pool: ThreadPoolExecutor) -> Iterator[Pixels]:
        batches = _batches(origin.read(), data.image_size**2 * CHANNELS)
        results = (result for batch in batches for result in pool.map(attempt, batch))
        for entry, result in tracked(results, "reading images", len(origin.entries)):
            if isinstance(result, ImageError):
                unreadable.append((entry.file, result.what))
            else:
                entries.append(entry)
                yield result

    with ThreadPoolExecutor(THREADS) as pool:
        pixels = SpooledImages.of(data.image_size, decoded(pool))
    return _Images(entries, pixels), unreadable


def _batches(
    items: Iterable[tuple[Entry, Content]], decoded: int
) -> Iterator[list[tuple[Entry, Content]]]:
    """Lists of few items and few bytes, so that no more of them are in memory at once.

    decoded: bytes that each image will have.
    """
    batch, size = [], 0
    for item in items:
        batch.append(item)
        size += max(decoded, _size(item[1]))
        if len(batch) == BATCH or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _size(content: Content) -> int:
    if isinstance(content, ImageError):
        return 0
    return len(content) if isinstance(content, bytes) else content.nbytes
