"""The experiments compared over all images, each predicted by a network that never saw it.

Networks of different folds share most of their training images, so no test of their differences is
exact (Dietterich, 1998), and no unbiased estimate of the variance exists (Bengio & Grandvalet,
2004). Two tests are shown that err in different ways.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING, Any

import numpy as np

from src.evaluation.choice import reference_of
from src.evaluation.metrics import Score, score
from src.evaluation.predictions import Predictions
from src.evaluation.significance import PairedTest, holm, mcnemar
from src.plotting import BLUE, INK, figure, rows_of_accuracies, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROUNDING = 1e-9  # what differences of accuracies have of it at most


@dataclass(frozen=True)
class Difference:
    """The tests against the reference; both p values are adjusted by Holm's method."""

    paired: PairedTest
    mcnemar_p: float
    corrected_t_p: float


@dataclass(frozen=True)
class Row:
    """One experiment: its scores over all images, each fold's accuracy, and the tests."""

    name: str
    score: Score
    folds: tuple[float, ...]
    against: Difference | None  # None for the reference itself

    @property
    def metrics(self) -> dict[str, Any]:
        """As written to the metrics file."""
        found: dict[str, Any] = self.score.as_dict()
        found["fold"] = {str(k): round(share, 6) for k, share in enumerate(self.folds, 1)}
        if self.against:
            found["difference"] = round(self.against.paired.difference, 6)
            found["mcnemar_p"] = round(self.against.mcnemar_p, 6)
            found["corrected_t_p"] = round(self.against.corrected_t_p, 6)
        return found


def compare(predictions: Predictions, folds: Mapping[str, Sequence[float]]) -> tuple[Row, ...]:
    """Each experiment's row; `folds` are its accuracies per fold.

    The reference is Baseline, or the first experiment where there is no Baseline.
    """
    reference = reference_of(tuple(folds))
    others = [name for name in folds if name != reference]
    correct = {name: predictions.correct(name)[0] for name in folds}
    paired = [mcnemar(correct[name], correct[reference]) for name in others]
    corrected = [corrected_t(np.subtract(folds[name], folds[reference])) for name in others]
    tests = zip(paired, holm([test.p for test in paired]), holm(corrected), strict=True)
    against = dict(zip(others, (Difference(*test) for test in tests), strict=True))
    return tuple(
        Row(
            name,
            score(predictions.logits[name], predictions.labels),
            tuple(shares),
            against.get(name),
        )
        for name, shares in folds.items()
    )


def corrected_t(differences: Any) -> float:
    """Two-sided p of the corrected resampled t-test (Nadeau & Bengio, 2003).

    differences: (K,) of two experiments' accuracies on the same K folds. The variance of their mean
    is enlarged by the ratio of test to training images, 1 / (K - 1), because the folds' networks
    share training images. Folds that all differ alike leave no variance to test by: then p is that
    of the sign test.
    """
    from scipy.stats import t

    folds = len(differences)
    mean, variance = float(np.mean(differences)), float(np.var(differences, ddof=1))
    spread = sqrt(variance * (1 / folds + 1 / (folds - 1)))
    if spread < ROUNDING:
        return 1.0 if abs(mean) < ROUNDING else 2.0 ** (1 - folds)
    return float(2 * t.sf(abs(mean / spread), folds - 1))


def table(rows: Sequence[Row]) -> str:
    """The comparison as a Markdown table whose columns are aligned as text, too."""
    reference = reference_of([row.name for row in rows])
    header = (
        "experiment", "accuracy", "95% interval", "folds", "macro F1",
        f"against {reference}", "p (McNemar)", "p (corrected t)",
    )  # fmt: skip
    cells = [header, *(_cells(row) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines = [header, rule, *cells[1:]]
    return "\n".join("| " + " | ".join(_aligned(line, widths)) + " |" for line in lines)


def _aligned(line: Sequence[str], widths: Sequence[int]) -> list[str]:
    first, *others = zip(line, widths, strict=True)
    return [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]


def _cells(row: Row) -> tuple[str, ...]:
    scores, against = row.score, row.against
    tests = (
        (
            f"{100 * against.paired.difference:+.1f}",
            _p(against.mcnemar_p),
            _p(against.corrected_t_p),
        )
        if against
        else ("", "", "")
    )
    return (
        row.name,
        f"{scores.accuracy:.1%}",
        f"{scores.accuracy_low:.1%} to {scores.accuracy_high:.1%}",
        f"{min(row.folds):.1%} to {max(row.folds):.1%}",
        f"{scores.macro_f1:.3f}",
        *tests,
    )


def _p(value: float) -> str:
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def page(rows: Sequence[Row], subjects: int) -> str:
    """The report in Markdown: what was measured, the table and the figure."""
    images, folds = rows[0].score.images, len(rows[0].folds)
    return f"""\
# Cross-validation

{images} images of {subjects} subjects in {folds} folds. Each was predicted once, by a network that
was neither trained nor chosen on it or on a near-duplicate of it.

{table(rows)}

The interval (Wilson) treats the {images} predictions as independent. The networks of different
folds share training images, so it may be too narrow, and McNemar's test finds differences too
easily (Dietterich, 1998; Bengio & Grandvalet, 2004). The corrected resampled t-test (Nadeau &
Bengio, 2003) allows for that, but has only {folds} differences to go by. Both p values are adjusted
by Holm's method for the number of experiments.

![Accuracy of every experiment](accuracy.png)
"""


@styled
def accuracy_figure(rows: Sequence[Row]) -> Figure:
    """Accuracy over all images with its interval, and each fold's, for every experiment."""
    drawn, axes = figure(6.5, 0.9 + 0.32 * len(rows))
    axis = axes[0, 0]
    for place, row in enumerate(rows):
        low, high, value = (
            100 * share
            for share in (row.score.accuracy_low, row.score.accuracy_high, row.score.accuracy)
        )
        axis.plot([low, high], [place, place], color=BLUE, linewidth=2.2, solid_capstyle="butt")
        axis.plot(value, place, "o", color=BLUE, markersize=7)
        shares = [100 * share for share in row.folds]
        axis.plot(shares, [place] * len(shares), "|", color=INK, markersize=10, mew=1.0)
    xlabel = "accuracy, %: all images with the 95% interval (●), each fold (|)"
    rows_of_accuracies(axis, [row.name for row in rows], xlabel)
    return drawn
