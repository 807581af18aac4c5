"""What came of a run, in a few lines: every row's accuracies, and what to do next.

The report stage stores it beside the page, tests included, so that printing it again needs neither
torch nor the predictions.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from src import paths
from src.config import Params
from src.errors import StaleInputError
from src.files import write_json

if TYPE_CHECKING:
    from rich.table import Table

    from src.report.comparison import Comparison


@dataclass(frozen=True)
class Row:
    """One experiment's accuracies, within [0, 1], and the 95% interval of that on test images.

    Accuracies are means over `seeds` trainings.
    """

    name: str
    validation: float
    test: float
    low: float
    high: float
    seeds: int


@dataclass(frozen=True)
class Summary:
    """All rows, the `best` by validation accuracy, and the one that the others are held against.

    head_only: whether the best row trains nothing but its head. told_apart: whether it differs from
    the reference beyond chance, by the report's own test.
    """

    rows: tuple[Row, ...]
    best: str
    reference: str
    head_only: bool
    told_apart: bool

    @classmethod
    def of(cls, comparison: Comparison) -> Summary:
        """The comparison in short."""
        best = comparison.best
        return cls(
            rows=tuple(
                Row(
                    name=row.name,
                    validation=row.trained.val.value,
                    test=row.test.accuracy,
                    low=row.test.accuracy_low,
                    high=row.test.accuracy_high,
                    seeds=row.test.seeds,
                )
                for row in comparison.rows
            ),
            best=best.name,
            reference=comparison.reference.name,
            head_only=not best.unfrozen,
            told_apart=best.against_reference is not None and best.against_reference.beyond_chance,
        )

    def write(self) -> None:
        """Store it beside the report's page."""
        write_json(paths.SUMMARY, asdict(self))

    @classmethod
    def read(cls, params: Params) -> Summary:
        """What the last report said; raises StaleInputError if it has other rows than `params`."""
        try:
            stored = json.loads(paths.SUMMARY.read_bytes())
            found = cls(**{**stored, "rows": tuple(Row(**row) for row in stored["rows"])})
        except (OSError, ValueError, TypeError, KeyError):
            raise StaleInputError(
                str(paths.SUMMARY), "missing or broken", "run `dvc repro`"
            ) from None
        reported = {row.name for row in found.rows}
        if missing := [name for name in params.experiments if name not in reported]:
            what = f"has no test accuracy of {', '.join(missing)}"
            raise StaleInputError(str(paths.SUMMARY), what, "run `dvc repro`")
        return found

    def table(self) -> Table:
        """The rows as a table; the difference is in percentage points of test accuracy."""
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, padding=(0, 2, 0, 0))
        table.add_column("experiment")
        several = max(row.seeds for row in self.rows) > 1
        (reference,) = (row for row in self.rows if row.name == self.reference)
        for title in (
            *(["seeds"] if several else []),
            *("validation", "test", "95% interval", f"against {self.reference}"),
        ):
            table.add_column(title, justify="right")
        table.add_column("")
        for row in self.rows:
            against = f"{100 * (row.test - reference.test):+.1f} points"
            table.add_row(
                Text(row.name),
                *([str(row.seeds)] if several else []),
                f"{row.validation:.1%}",
                f"{row.test:.1%}",
                f"{row.low:.1%} to {row.high:.1%}",
                "" if row is reference else against,
                "best on validation" if row.name == self.best else "",
            )
        return table

    def next_steps(self) -> Iterator[str]:
        """Three commands, each with its purpose; the results choose the third."""
        yield f"open {paths.REPORT_PAGE}: every comparison with its figures"
        yield "make ui: the runs in MLflow, epoch by epoch"
        if self.head_only:
            yield f"python -m src.tune: {self.best} trains only a head; search for a better"
        elif not self.told_apart:
            yield (
                "python -m src.advise --check: the test images do not tell "
                f"{self.best} from {self.reference}; see which row suits this dataset"
            )
        else:
            yield "python -m src.predict PHOTO: the champion names the person in a photo"


def print_summary(summary: Summary) -> None:
    """Print the table and the next steps to stdout; plain text where that is not a terminal."""
    from rich.console import Console

    console = Console(markup=False, emoji=False, highlight=False)
    if not console.is_terminal:
        console = Console(markup=False, emoji=False, highlight=False, width=120)
    console.print(summary.table())
    console.print("\nnext:")
    for step in summary.next_steps():
        console.print(f"  {step}", soft_wrap=True)
