"""Other classes than an origin's own: two subjects of many, or one subject against the rest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase

from src.data.entries import Content, Entry, Origin
from src.errors import OriginError


def regrouped(where: str, origin: Origin, classes: Mapping[str, tuple[str, ...]]) -> Origin:
    """`origin` with each subject under the first class that has a pattern (`*`, `?`) for it.

    Subjects without one are left out. Raises OriginError where a class gets none.
    """
    of = {entry.subject: _class(entry.subject, classes) for entry in origin.entries}
    for name in classes:
        if name not in of.values():
            some = ", ".join(sorted(of)[:5])
            mend = f"mend data.classes.{name}; subjects are called {some}"
            raise OriginError(where, f"no subject belongs to class {name}", mend)
    entries = {}
    for entry in origin.entries:
        if (given := of[entry.subject]) is not None:
            entries[entry] = replace(entry, subject=given)

    def read() -> Iterator[tuple[Entry, Content]]:
        return ((entries[entry], pixels) for entry, pixels in origin.read() if entry in entries)

    return Origin(tuple(entries.values()), read)


def _class(subject: str, classes: Mapping[str, tuple[str, ...]]) -> str | None:
    matching = (
        name
        for name, patterns in classes.items()
        if any(fnmatchcase(subject, pattern) for pattern in patterns)
    )
    return next(matching, None)
