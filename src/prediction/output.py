"""Answers as text: a table for one photo, a row for each of many, JSON and CSV.

All but the table for one photo are written as answers come. None obeys or breaks at what a file or
a subject is called.
"""

from __future__ import annotations

import csv
import io
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TextIO

from src.data.split import UNKNOWN
from src.errors import printable
from src.prediction.stream import Prediction

WIDEST = 60  # columns that a photo's path may take before the other columns give way
PERCENT = 11  # columns, as wide as its heading


@dataclass
class Writer(ABC):
    """Writes answers to a stream, which is named so that a progress bar cannot redirect it."""

    out: TextIO

    @abstractmethod
    def write(self, predictions: Sequence[Prediction]) -> None:
        """Write further answers, of at least one photo."""

    def close(self) -> None:  # noqa: B027  # most have nothing to add
        """Write what belongs at the end; called even after an error."""

    def _put(self, text: str) -> None:
        """Write text, escaping what the stream's encoding lacks, such as halves of pairs."""
        encoding = self.out.encoding or "utf-8"
        self.out.write(text.encode(encoding, "backslashreplace").decode(encoding))
        self.out.flush()


@dataclass
class Rows(Writer):
    """A line for each photo, in columns."""

    subjects: Sequence[str]  # all there are
    candidates: bool  # whether there are any
    photos: int = 0  # columns of the longest photo so far

    def write(self, predictions: Sequence[Prediction]) -> None:
        """Write lines, below headings if they are the first."""
        from rich.cells import cell_len, set_cell_size

        photos = [printable(each.photo) for each in predictions]
        names = max(cell_len(printable(name)) for name in (*self.subjects, UNKNOWN))
        first, longest = self.photos == 0, max(map(cell_len, (*photos, "photo")))
        self.photos = max(self.photos, min(WIDEST, longest))
        rows = [("photo", "name", "probability", "candidates")] if first else []
        for photo, each in zip(photos, predictions, strict=True):
            likely = printable(", ".join(each.candidates or ())) or "none"
            rows.append((photo, printable(each.name), f"{each.subjects[0][1]:.1%}", likely))
        for photo, name, share, likely in rows:
            wide = set_cell_size(photo, max(self.photos, cell_len(photo)))
            line = f"{wide}  {set_cell_size(name, names)}  {share:>{PERCENT}}"
            self._put(f"{line}  {likely}\n" if self.candidates else f"{line}\n")


@dataclass
class Tables(Writer):
    """The likeliest subjects of a photo in a table."""

    def write(self, predictions: Sequence[Prediction]) -> None:
        """Write a table for each photo."""
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        console = Console(file=self.out)
        for prediction in predictions:
            title = f"{prediction.photo}: {UNKNOWN}" if prediction.unknown else prediction.photo
            table = Table()
            table.add_column("subject", overflow="fold")
            table.add_column("probability", justify="right")
            # As Text, since rich would take `[ann]` in a string for markup.
            for subject, probability in prediction.subjects:
                table.add_row(Text(printable(subject)), f"{probability:.1%}")
            with console.capture() as captured:
                # Not the table's own title and caption, which would break at its width.
                console.print(Text(printable(title)), soft_wrap=True)
                console.print(table)
                if prediction.candidates is not None:
                    said = f"candidates: {', '.join(prediction.candidates) or 'none'}"
                    console.print(Text(printable(said)), soft_wrap=True)
            self._put(captured.get())


@dataclass
class Json(Writer):
    """One array, with a photo on each line."""

    begun: bool = False

    def write(self, predictions: Sequence[Prediction]) -> None:
        """Write objects."""
        for prediction in predictions:
            value = {"photo": prediction.photo, **prediction.answer}
            self._put(f"{',' if self.begun else '['}\n{json.dumps(value)}")
            self.begun = True

    def close(self) -> None:
        """End the array."""
        if self.begun:
            self._put("\n]\n")


@dataclass
class Csv(Writer):
    """A header, then a row for each photo; candidates as a JSON array in their cell."""

    top: int  # subjects of each photo
    begun: bool = False

    def write(self, predictions: Sequence[Prediction]) -> None:
        """Write rows."""
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        if not self.begun:
            ranks = range(1, self.top + 1)
            further = [
                name for rank in ranks for name in (f"subject_{rank}", f"probability_{rank}")
            ]
            table.writerow(("photo", "name", "unknown", "candidates", *further))
            self.begun = True
        for each in predictions:
            likely = "" if each.candidates is None else json.dumps(each.candidates)
            row = [each.photo, each.name, str(each.unknown).lower(), likely]
            row += [cell for name, share in each.subjects for cell in (name, f"{share:.6f}")]
            # A terminal would obey control characters; a program gets the path as it is.
            table.writerow(map(printable, row) if self.out.isatty() else row)
        self._put(text.getvalue())
