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
from src.config import PARAMS, Params
from src.errors import StaleInputError
from src.files import write_json
from src.report.steps import NextStep, next_step

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

    step: what the report advises to do next. study: the name of the literature study, or None.
    """

    rows: tuple[Row, ...]
    best: str
    reference: str
    step: NextStep
    study: str | None = None

    @classmethod
    def of(cls, comparison: Comparison) -> Summary:
        """The comparison in short."""
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
            best=comparison.best.name,
            reference=comparison.reference.name,
            step=next_step(comparison),
            study=comparison.study,
        )

    def write(self) -> None:
        """Store it beside the report's page."""
        write_json(paths.SUMMARY, asdict(self))

    @classmethod
    def read(cls, params: Params) -> Summary:
        """What the last report said; raises StaleInputError if it has other rows than `params`."""
        try:
            stored = json.loads(paths.SUMMARY.read_bytes())
            rows, step = tuple(Row(**row) for row in stored["rows"]), NextStep(**stored["step"])
            found = cls(**{**stored, "rows": rows, "step": step})
        except (OSError, ValueError, TypeError, KeyError):
            raise StaleInputError(
                str(paths.SUMMARY), "missing or broken", "run `dvc repro`"
            ) from None
        reported = {row.name for row in found.rows}
        if missing := [name for name in params.experiments if name not in reported]:
            what = f"has no test accuracy of {', '.join(missing)}"
            raise StaleInputError(str(paths.SUMMARY), what, "run `dvc repro`")
        if gone := sorted(reported - params.experiments.keys()):
            what = f"has {', '.join(gone)}, which {PARAMS} does not"
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
        """The page, MLflow's, and what the report advises, each with its command if it has one."""
        page = str(paths.REPORT_PAGE)
        if self.study:
            copied = paths.REPORT_PAGE.with_name(f"study-{self.study}.html")
            page = f"{copied}, which `make study` writes"
        yield f"open {page}: every comparison with its figures"
        yield "make ui: the runs in MLflow, epoch by epoch"
        yield f"{self.step.says} {self.step.command}".rstrip()


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
