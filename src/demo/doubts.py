"""Images whose label is in doubt, and what was decided about them.

Three lists name them: suspects (`python -m src.labels`), findings of the audit, and decisions that
were made before, so that each can be taken back. An image is in the page once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from src import paths
from src.config import PARAMS, load_params
from src.data.corrections import Correction, Decision, read_corrections, write_corrections
from src.data.faceset import FaceSet
from src.errors import ConfigError, StaleInputError
from src.files import digest, read_rows
from src.labels.packed import check_origin
from src.labels.suspects import read_suspects
from src.tensors import MALFORMED

MOST = 500  # images of the page
KINDS = {
    "near_duplicate": "nearly the same image in two splits",
    "conflicting_label": "the same image, or nearly the same, under two subjects",
}
MEND = "reload the page"


class Decided(BaseModel):
    """What the page sends about one image; without a decision, an earlier one is taken back."""

    model_config = ConfigDict(extra="forbid", strict=True)
    file: Annotated[str, Field(min_length=1, max_length=4096)]
    decision: Decision | None
    to: Annotated[str, Field(max_length=4096)] = ""


class Saved(BaseModel):
    """What the page sends at once, with the version of the dataset that it shows."""

    model_config = ConfigDict(extra="forbid", strict=True)
    version: Annotated[str, Field(max_length=64)]
    decided: Annotated[list[Decided], Field(max_length=MOST)]


@dataclass(frozen=True)
class Doubt:
    """An image, why its label is in doubt, and what was decided.

    row: of the packed dataset; None where the image is no longer in it. also: files of the finding.
    """

    kind: Literal["suspect", "near_duplicate", "conflicting_label", "decided"]
    file: str
    subject: str
    row: int | None
    split: str
    why: str
    suggested: str = ""
    also: tuple[str, ...] = ()
    decision: Decision | None = None
    to: str = ""


@dataclass(frozen=True)
class _Dataset:
    """The packed images with their file names."""

    faces: FaceSet
    md5: str
    origin: str
    corrections: str  # where decisions are kept
    rows: dict[str, tuple[int, str, str]]  # file to row, subject and split

    @property
    def version(self) -> str:
        """A digest of what a file's name, an image's row and a decision's place depend on."""
        told = f"{self.md5} {self.origin} {self.corrections}"
        return hashlib.sha256(told.encode()).hexdigest()[:32]

    @classmethod
    def read(cls, project: Path) -> _Dataset:
        packed = project / paths.FACES
        if not packed.is_file():
            raise StaleInputError(str(paths.FACES), "not here", "run `dvc repro dataset`")
        faces, manifest = FaceSet.load(packed), read_rows(project / paths.MANIFEST)
        try:
            rows = {
                row["file"]: (n, row["subject"], row["split"]) for n, row in enumerate(manifest)
            }
        except KeyError:
            rows = {}
        if len(rows) != len(faces):
            what = f"not the files of {paths.FACES}"
            raise StaleInputError(str(paths.MANIFEST), what, "run `dvc repro dataset`")
        data, md5 = load_params(project / PARAMS).data, digest(packed)
        check_origin(project, data.origin, md5)
        return cls(faces, md5, data.origin, data.corrections, rows)


class Doubts:
    """The project's images in doubt, read anew whenever the page asks."""

    def __init__(self, project: Path) -> None:
        self.project = project
        self._read: tuple[tuple[object, ...], _Dataset] | None = None
        # Subjects by version and file, as the origin has them, of renamed images whose decision was
        # taken back: the packed dataset has the new name until `dvc repro`.
        self._renamed: dict[tuple[str, str], str] = {}

    def listing(self) -> dict[str, Any]:
        """What the page shows; raises UserError where there is no dataset."""
        dataset, notes = self._dataset(), list[str]()
        found = [*self._found(dataset, notes)]
        if len(found) > MOST:
            notes.append(f"The first {MOST} of {len(found)} images are shown.")
        return {
            "file": dataset.corrections,
            "version": dataset.version,
            "subjects": dataset.faces.subjects,
            "notes": notes,
            "items": [asdict(each) for each in found[:MOST]],
        }

    def image(self, version: str, row: int) -> Any:
        """(3, S, S) uint8, an image of the dataset, if that is still the one of the page."""
        faces = self._dataset(version).faces
        if not 0 <= row < len(faces):
            raise StaleInputError(f"image {row}", "no such image", MEND)
        return faces.images[row]

    def save(self, content: bytes) -> int:
        """Write what the page decided into the file of corrections; returns how many it holds.

        Other decisions in it, and those about other origins, stay. Raises ConfigError.
        """
        try:
            saved = Saved.model_validate_json(content)
        except ValidationError as error:
            first = error.errors()[0]
            what = f"{'.'.join(map(str, first['loc'])) or 'content'}: {first['msg']}"
            raise ConfigError("decisions", what, MEND) from None
        dataset = self._dataset(saved.version)
        path = self.project / dataset.corrections
        held = read_corrections(path)
        kept = {(each.origin, each.file): each for each in held}
        renamed = dict(self._renamed)
        for each in saved.decided:
            place = (dataset.origin, each.file)
            made = self._correction(dataset, kept.get(place), each)
            if before := kept.pop(place, None):
                renamed[dataset.version, each.file] = before.subject
            if made:
                kept[place] = made
        write_corrections(path, kept.values())
        self._renamed = renamed
        return len(kept)

    def _correction(
        self, dataset: _Dataset, before: Correction | None, decided: Decided
    ) -> Correction | None:
        if before is None and decided.file not in dataset.rows:
            raise ConfigError(decided.file, f"no image of {dataset.origin}", MEND)
        if decided.decision is None:
            return None
        # A name that an earlier decision gave is not what the origin says.
        subject = before.subject if before else self._subject(dataset, decided.file)
        to = decided.to if decided.decision == "rename" else ""
        known = (*dataset.faces.subjects, before.to if before else "")
        if decided.decision == "rename" and (not to or to not in known or to == subject):
            what = f"cannot be renamed from {subject} to {to or 'nobody'}"
            raise ConfigError(decided.file, what, "choose another subject of the dataset")
        return Correction(dataset.origin, decided.file, subject, decided.decision, to)

    def _subject(self, dataset: _Dataset, file: str) -> str:
        """Whom the origin says an image of the dataset shows."""
        return self._renamed.get((dataset.version, file), dataset.rows[file][1])

    def _dataset(self, version: str | None = None) -> _Dataset:
        """The dataset as it is now; raises StaleInputError where that is not `version`."""
        files = (PARAMS, paths.FACES, paths.MANIFEST)
        signature = tuple(_signature(self.project / path) for path in files)
        if self._read is None or self._read[0] != signature:
            self._read = signature, _Dataset.read(self.project)
        found = self._read[1]
        if version not in (None, found.version):
            raise StaleInputError("this page", "shows an earlier dataset", MEND)
        return found

    def _found(self, dataset: _Dataset, notes: list[str]) -> Iterator[Doubt]:
        held = read_corrections(self.project / dataset.corrections)
        decided = {each.file: each for each in held if each.origin == dataset.origin}
        seen = set[str]()
        for doubt in (
            *self._suspects(dataset, notes),
            *self._findings(dataset),
            *_earlier(dataset, decided.values()),
        ):
            if doubt.file not in seen:
                seen.add(doubt.file)
                subject = self._renamed.get((dataset.version, doubt.file), doubt.subject)
                yield _with(replace(doubt, subject=subject), decided.get(doubt.file))

    def _suspects(self, dataset: _Dataset, notes: list[str]) -> Iterator[Doubt]:
        suspects = read_suspects(self.project / paths.LABELS, dataset.md5)
        if suspects is None:
            notes.append("No suspects are listed for this dataset yet: run python -m src.labels.")
        for each in suspects or ():
            if each.file in dataset.rows:
                row, subject, split = dataset.rows[each.file]
                why = f"{each.suggested} with probability {each.probability:.0%}"
                yield Doubt("suspect", each.file, subject, row, split, why, each.suggested)

    def _findings(self, dataset: _Dataset) -> Iterator[Doubt]:
        for finding in _audit(self.project / paths.AUDIT):
            files = [file for file in finding["files"] if file in dataset.rows]
            names = {dataset.rows[file][1] for file in files}
            for file in files:
                row, subject, split = dataset.rows[file]
                others = sorted(names - {subject})
                yield Doubt(
                    kind=finding["kind"],
                    file=file,
                    subject=subject,
                    row=row,
                    split=split,
                    why=f"{KINDS[finding['kind']]} ({finding['note']})",
                    suggested=others[0] if others else "",
                    also=tuple(other for other in finding["files"] if other != file),
                )


def _with(doubt: Doubt, made: Correction | None) -> Doubt:
    if made is None:
        return doubt
    shown = {**vars(doubt), "subject": made.subject, "decision": made.decision, "to": made.to}
    return Doubt(**shown)


def _earlier(dataset: _Dataset, decided: Iterable[Correction]) -> Iterator[Doubt]:
    for each in decided:
        row, _, split = dataset.rows.get(each.file, (None, "", "left out"))
        yield Doubt("decided", each.file, each.subject, row, split, "decided earlier")


def _signature(path: Path) -> tuple[int, int, int]:
    try:
        status = path.stat()
    except OSError:
        return 0, 0, 0
    return status.st_ino, status.st_mtime_ns, status.st_size


def _audit(path: Path) -> list[dict[str, Any]]:
    """The findings about labels; none where there is no report."""
    if not path.is_file():
        return []
    try:
        found = json.loads(path.read_text("utf-8"))["findings"]
        return [each for each in found if each["kind"] in KINDS]
    except MALFORMED:
        raise StaleInputError(str(paths.AUDIT), "not an audit", "run `dvc repro dataset`") from None
