"""A person's decisions, checked against the images of the origin that they are about."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from src.config import Data
from src.data.corrections import Correction, read_corrections
from src.data.entries import Entry
from src.errors import OriginError


@dataclass(frozen=True)
class Corrections:
    """The decisions of the file `where` that are about one origin, by the image's file."""

    where: str
    by_file: Mapping[str, Correction]

    @classmethod
    def of(cls, data: Data, entries: Sequence[Entry]) -> Corrections:
        """Those of `data.corrections` that are about `data.origin`, which has these entries.

        Raises ConfigError for a file of another form, OriginError where a decision is about a file
        that there is not, or about another label than the image has now.
        """
        decided = read_corrections(Path(data.corrections))
        by_file = {each.file: each for each in decided if each.origin == data.origin}
        subject_of = {entry.file: entry.subject for entry in entries if entry.file in by_file}
        for file, each in by_file.items():
            where = f"{data.corrections}: {file}"
            if file not in subject_of:
                raise OriginError(where, f"{data.origin} has no such file", "remove the line")
            if (now := subject_of[file]) != each.subject:
                what = f"the decision is about {each.subject}, but the image is of {now}"
                mend = "remove the line, or undo it on the page, and run `dvc repro` before"
                raise OriginError(where, what, f"{mend} you decide again")
        return cls(data.corrections, by_file)

    def change(self, file: str) -> bool:
        """Whether the image is dropped, or is of another subject than it was said to be."""
        return file in self.by_file and self.by_file[file].decision != "keep"

    def applied(self, entry: Entry, subjects: Collection[str]) -> Entry | None:
        """The entry as decided; None if it was dropped.

        Raises OriginError where its new name is none of `subjects`.
        """
        decided = self.by_file.get(entry.file)
        if decided is None or decided.decision == "keep":
            return entry
        if decided.decision == "drop":
            return None
        if decided.to not in subjects:
            what = f"{decided.to} is no subject of the dataset"
            mend = "name one that is, drop the image, or lower unknown.held_out if that took it"
            raise OriginError(f"{self.where}: {entry.file}", what, mend)
        return replace(entry, subject=decided.to)

    def counts(self) -> dict[str, int]:
        """How many images were renamed, dropped and kept."""
        count = Counter(each.decision for each in self.by_file.values())
        return {"renamed": count["rename"], "dropped": count["drop"], "kept": count["keep"]}
