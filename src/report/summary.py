"""What came of a run, in a few lines: every row's accuracies, and what to do next.

Reads only what the stages wrote, so that it takes no time at the end of `dvc repro`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from src import paths
from src.config import Params
from src.errors import StaleInputError
from src.evaluation.choice import Contender, choose, reference_of

if TYPE_CHECKING:
    from rich.table import Table


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
    best: Row
    reference: Row
    head_only: bool
    told_apart: bool

    @classmethod
    def read(cls, params: Params) -> Summary:
        """Read the metrics of all stages; raises StaleInputError where any is missing."""
        contenders = [
            Contender.read(name, paths.train_metrics(name)) for name in params.experiments
        ]
        scores = _test_scores(params)
        rows = {
            each.name: Row(
                name=each.name,
                validation=each.val_accuracy,
                test=scores[each.name]["accuracy"],
                low=scores[each.name]["accuracy_low"],
                high=scores[each.name]["accuracy_high"],
                seeds=scores[each.name]["seeds"],
            )
            for each in contenders
        }
        best = choose(contenders).name
        reference = reference_of(rows)
        return cls(
            rows=tuple(rows.values()),
            best=rows[best],
            reference=rows[reference],
            head_only=tuple(params.experiment(best).train) == ("head",),
            told_apart=_told_apart(best, reference, rows),
        )

    def table(self) -> Table:
        """The rows as a table; the difference is in percentage points of test accuracy."""
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, padding=(0, 2, 0, 0))
        table.add_column("experiment")
        several = max(row.seeds for row in self.rows) > 1
        for title in (
            *(["seeds"] if several else []),
            *("validation", "test", "95% interval", f"against {self.reference.name}"),
        ):
            table.add_column(title, justify="right")
        table.add_column("")
        for row in self.rows:
            against = f"{100 * (row.test - self.reference.test):+.1f} points"
            table.add_row(
                Text(row.name),
                *([str(row.seeds)] if several else []),
                f"{row.validation:.1%}",
                f"{row.test:.1%}",
                f"{row.low:.1%} to {row.high:.1%}",
                "" if row is self.reference else against,
                "best on validation" if row is self.best else "",
            )
        return table

    def next_steps(self) -> Iterator[str]:
        """Three commands, each with its purpose; the results choose the third."""
        yield f"open {paths.REPORT_PAGE}: every comparison with its figures"
        yield "make ui: the runs in MLflow, epoch by epoch"
        if self.head_only:
            yield f"python -m src.tune: {self.best.name} trains only a head; search for a better"
        elif not self.told_apart:
            yield (
                "python -m src.advise --check: the test images do not tell "
                f"{self.best.name} from {self.reference.name}; see which row suits this dataset"
            )
        else:
            yield "python -m src.predict PHOTO: the champion names the person in a photo"


def print_summary(params: Params) -> None:
    """Print the table and the next steps to stdout; plain text where that is not a terminal."""
    from rich.console import Console

    console = Console(markup=False, emoji=False, highlight=False)
    if not console.is_terminal:
        console = Console(markup=False, emoji=False, highlight=False, width=120)
    summary = Summary.read(params)
    console.print(summary.table())
    console.print("\nnext:")
    for step in summary.next_steps():
        console.print(f"  {step}", soft_wrap=True)


def _told_apart(best: str, reference: str, names: Collection[str]) -> bool:
    """Whether the paired test, adjusted for all rows, tells `best` from `reference`."""
    from src.evaluation.predictions import Predictions
    from src.report.comparison import tests_against

    if best == reference:
        return False
    predictions = Predictions.load(paths.PREDICTIONS)
    if missing := [name for name in names if name not in predictions.logits]:
        what = f"has no predictions of {', '.join(missing)}"
        raise StaleInputError(str(paths.PREDICTIONS), what, "run `dvc repro evaluate`")
    return tests_against(reference, tuple(names), predictions)[best].beyond_chance


def _test_scores(params: Params) -> dict[str, Any]:
    try:
        scores = json.loads(paths.TEST_METRICS.read_bytes())
        missing = [name for name in params.experiments if name not in scores]
    except (OSError, ValueError, TypeError):
        missing, scores = [*params.experiments], {}
    if missing:
        what = f"has no test accuracy of {', '.join(missing)}"
        raise StaleInputError(str(paths.TEST_METRICS), what, "run `dvc repro`")
    return dict(scores)
