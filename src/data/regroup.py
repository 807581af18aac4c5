"""Classes other than an origin's own, such as one subject against the rest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from src.data.entries import Content, Entry, Origin
from src.errors import OriginError


def regroup(where: str, origin: Origin, classes: Mapping[str, tuple[str, ...]]) -> Origin:
    """`origin` with each subject renamed to the first class with a pattern that matches it.

    Patterns may have `*` and `?`. Subjects that match none are left out. Raises OriginError where
    a class has no subject.
    """
    class_of = {entry.subject: _class(entry.subject, classes) for entry in origin.entries}
    for name in classes:
        if name not in class_of.values():
            examples = ", ".join(sorted(class_of)[:5])
            mend = f"correct data.classes.{name}; subjects are called {examples}"
            raise OriginError(where, f"no subject belongs to class {name}", mend)
    entries = {
        entry: replace(entry, subject=group)
        for entry in origin.entries
        if (group := class_of[entry.subject]) is not None
    }

    def read() -> Iterator[tuple[Entry, Content]]:
        return ((entries[entry], pixels) for entry, pixels in origin.read() if entry in entries)

    empty = tuple(each for each in origin.empty if _class(PurePosixPath(each).name, classes))
    return Origin(tuple(entries.values()), read, empty, origin.style)


def _class(subject: str, classes: Mapping[str, tuple[str, ...]]) -> str | None:
    matching = (
        name
        for name, patterns in classes.items()
        if any(fnmatchcase(subject, pattern) for pattern in patterns)
    )
    return next(matching, None)
