"""Packing an origin into one audited and split dataset."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from src.config import Data
from src.data import audit
from src.data.audit import KINDS, AuditFinding, DecodedImages, pixel_digest
from src.data.decode import decode
from src.data.entries import Content, Entry, Origin, Pixels
from src.data.faceset import FaceSet, Split
from src.data.origins import open_origin
from src.data.split import assign, check_remaining
from src.data.strangers import hold_out, in_halves, nobody
from src.errors import ImageError, OriginError
from src.progress import tracked

THREADS, BATCH = 4, 256
BATCH_BYTES = 2**24  # of encoded files; a single one may have more


@dataclass(frozen=True)
class PackedDataset:
    """A dataset, the file that each row came from, and the findings of the audit.

    strangers: in two halves (`src.data.strangers`). note: why there are none or fewer than given.
    """

    faces: FaceSet
    files: tuple[str, ...]
    findings: tuple[AuditFinding, ...]
    strangers: FaceSet
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
        counts = Counter(finding.kind for finding in self.findings)
        with_files = [each for each in self.findings if each.kind != "empty_subject"]
        dropped = {file for finding in with_files for file in finding.dropped}
        sizes = self.faces.labels.bincount(minlength=len(self.faces.subjects))
        return {
            "subjects": len(self.faces.subjects),
            "images": {split.name: len(self.faces.rows(split)) for split in Split},
            "images_per_subject": {"least": int(sizes.min()), "most": int(sizes.max())},
            "strangers": len(self.strangers.subjects),
            "found": {kind: counts[kind] for kind in KINDS},
            "dropped": len(dropped),
            "findings": [asdict(finding) for finding in self.findings],
        }


def pack(
    data: Data, seed: int, *, strangers: str | None = None, held_out: float = 0.0
) -> PackedDataset:
    """Read, decode, split and audit the origin, and read that of the strangers.

    Where `strangers` gives none, they are a share `held_out` of the origin's own subjects.
    Raises OriginError and AuditError; an unreadable file is a finding, not an error.
    """
    origin = open_origin(data)
    entries, pixels, unreadable = _decode(origin, data)
    if _has_test(origin.entries) and not _has_test(entries):
        raise OriginError(
            data.origin,
            "no image of its test split can be read",
            f"replace {unreadable[-1][0]} and the others, or remove the split",
        )
    others, note = _strangers(data, strangers, origin.style)
    if not others:
        items, names = zip(entries, pixels, strict=True), {entry.subject for entry in entries}
        held = hold_out(data.origin, names, held_out, seed)
        others = [each for each in items if each[0].subject in held]
        pixels = [each for each, of in zip(pixels, entries, strict=True) if of.subject not in held]
        entries = [entry for entry in entries if entry.subject not in held]
    policies = data.audit
    findings = [
        *audit.unusable("unreadable", unreadable, policies.unreadable),
        *audit.unusable(
            "empty_subject", [(name, "") for name in origin.empty], policies.empty_subject
        ),
    ]
    splits = assign(data.origin, entries, data.val_fraction, data.test_fraction, seed)
    found = audit.audit(DecodedImages(entries, pixels, splits), policies)
    dropped = {file for finding in found for file in finding.dropped}
    kept = [row for row, entry in enumerate(entries) if entry.file not in dropped]
    kept.sort(key=lambda row: (entries[row].subject, splits[row], entries[row].file))
    check_remaining(data.origin, [entries[row] for row in kept], splits[kept])
    subjects = tuple(sorted({entry.subject for entry in entries}))
    number = {subject: label for label, subject in enumerate(subjects)}
    images = np.stack([pixels[row] for row in kept]).transpose(0, 3, 1, 2)
    faces = FaceSet(
        torch.from_numpy(np.ascontiguousarray(images)),
        torch.tensor([number[entries[row].subject] for row in kept]),
        torch.from_numpy(splits[kept]),
        subjects,
    )
    files = tuple(entries[row].file for row in kept)
    apart = _apart(others, faces)
    return PackedDataset(faces, files, (*findings, *found), apart, note)


def _strangers(data: Data, where: str | None, style: str) -> tuple[list[tuple[Entry, Pixels]], str]:
    """The images of the strangers' origin, of whatever split, and what there is to say of them."""
    if where is None:
        return [], ""
    if not Path(where).exists():
        mend = "set unknown.origin to one, or to data/nobody.yaml"
        raise OriginError(where, "no such file or folder", mend)
    theirs = data.model_copy(update={"origin": where, "classes": {}})
    origin = open_origin(theirs)
    if origin.entries and origin.style != style:
        return [], f"{where} gives no strangers: it holds {origin.style}, the dataset {style}"
    entries, pixels, unreadable = _decode(origin, theirs)
    note = f"{where}: {len(unreadable)} files are no readable images" if unreadable else ""
    return [*zip(entries, pixels, strict=True)], note


def _apart(others: Sequence[tuple[Entry, Pixels]], faces: FaceSet) -> FaceSet:
    """The strangers; raises OriginError where one of them is in the dataset, too."""
    if not others:
        return nobody(faces.images.shape[-1])
    entries, pixels = zip(*others, strict=True)
    where, mend = "strangers", "remove it from one of the two"
    if known := sorted({entry.subject for entry in entries} & {*faces.subjects}):
        what = "a stranger is called like a subject of the dataset"
        raise OriginError(f"{where}: {known[0]}", what, mend)
    seen = {image.permute(1, 2, 0).contiguous().numpy().tobytes() for image in faces.images}
    for entry, image in others:
        if image.tobytes() in seen:
            raise OriginError(f"{where}: {entry.file}", "the dataset has this image, too", mend)
    return in_halves(entries, pixels)


def _has_test(entries: Iterable[Entry]) -> bool:
    return any(entry.split is Split.test for entry in entries)


def _decode(origin: Origin, data: Data) -> tuple[list[Entry], list[Pixels], list[tuple[str, str]]]:
    """Entries that can be decoded, their pixels, and the other files with the reasons."""

    def attempt(item: tuple[Entry, Content]) -> tuple[Entry, Pixels | ImageError]:
        entry, content = item
        try:
            return entry, decode(entry.file, content, data)
        except ImageError as error:
            return entry, error

    entries, pixels, unreadable = [], [], []
    with ThreadPoolExecutor(THREADS) as pool:
        results = (
            result for batch in _batches(origin.read()) for result in pool.map(attempt, batch)
        )
        for entry, result in tracked(results, "reading images", len(origin.entries)):
            if isinstance(result, ImageError):
                unreadable.append((entry.file, result.what))
            else:
                entries.append(entry)
                pixels.append(result)
    return entries, pixels, unreadable


def _batches(items: Iterable[tuple[Entry, Content]]) -> Iterator[list[tuple[Entry, Content]]]:
    """Lists of few items and few bytes, so that no more encoded files are in memory at once."""
    batch, size = [], 0
    for item in items:
        batch.append(item)
        size += len(item[1]) if isinstance(item[1], bytes) else 0
        if len(batch) == BATCH or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
