"""What a person decided about images whose label is in doubt, kept as a file that git versions.

The page of `make demo` writes it, and the `dataset` stage applies it (`data.corrections`). A
decision is about one file of one origin, so that those about another origin are left alone.
"""

from __future__ import annotations

import csv
import io
import posixpath
import unicodedata
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Literal, cast, get_args

from src.errors import ConfigError
from src.files import write_text

Decision = Literal["keep", "rename", "drop"]


@dataclass(frozen=True)
class Correction:
    """A decision about an image; `subject` is who it was said to show, `to` who it shows.

    `to` is empty unless the decision is `rename`.
    """

    origin: str
    file: str
    subject: str
    decision: Decision
    to: str = ""


HEADER = tuple(field.name for field in fields(Correction))


def read_corrections(path: Path) -> tuple[Correction, ...]:
    """The decisions in `path`; none if it is empty or not there. Raises ConfigError."""
    if not path.exists():
        return ()
    mend = f"restore it with git, or begin it with {','.join(HEADER)}"
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header, *rows = [*csv.reader(file)] or [HEADER]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(str(path), f"cannot be read ({error})", "restore it with git") from None
    if tuple(header) != HEADER:
        what = f"its first line is not {','.join(HEADER)}"
        raise ConfigError(str(path), what, mend)
    found = tuple(_correction(path, number, row) for number, row in enumerate(rows, 2) if row)
    seen = set[tuple[str, str]]()
    for each in found:
        if (each.origin, each.file) in seen:
            raise ConfigError(str(path), f"{each.file} has two decisions", "remove one of them")
        seen.add((each.origin, each.file))
    return found


def write_corrections(path: Path, corrections: Iterable[Correction]) -> None:
    """Write them in the order of origin and file, so that git shows what changed."""
    rows = (astuple(each) for each in sorted(corrections, key=astuple))
    write_text(path, "".join(map(_line, (HEADER, *rows))))


def _line(row: Iterable[str]) -> str:
    """A line of CSV; a `\\r` in a name is quoted only where lines are to end in it."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\r\n").writerow(row)
    return text.getvalue().removesuffix("\r\n") + "\n"


def _correction(path: Path, number: int, row: list[str]) -> Correction:
    where, mend = f"{path}: line {number}", "write keep, drop, or rename with a name"
    if len(row) != len(HEADER):
        raise ConfigError(where, f"has {len(row)} columns instead of {len(HEADER)}", mend)
    origin, *cells = row
    # As `data.origin` and the names in an origin are read.
    origin = posixpath.normpath(origin)
    file, subject, decision, to = (unicodedata.normalize("NFC", cell) for cell in cells)
    if decision not in get_args(Decision):
        raise ConfigError(where, f"no decision: {decision}", mend)
    if bool(to) != (decision == "rename"):
        raise ConfigError(where, f"{decision} with {f'the name {to}' if to else 'no name'}", mend)
    return Correction(origin, file, subject, cast("Decision", decision), to)
