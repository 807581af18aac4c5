"""How the report writes its figures: shares, differences, p values, times and numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from src.evaluation.metrics import Score


def percent(share: float) -> str:
    """A share as a percentage with one decimal."""
    return f"{share:.1%}"


def points(difference: float) -> str:
    """A difference of shares in percentage points, with its sign (U+2212 for minus)."""
    return f"{100 * difference:+.1f}".replace("-", "−")


def p_value(p: float) -> str:
    """A p value as printed in papers."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"


def interval(score: Score) -> str:
    """A 95% interval in percent."""
    return f"{100 * score.accuracy_low:.1f}–{100 * score.accuracy_high:.1f}%"


def spread(score: Score) -> str:
    """The number of seeds, with the standard deviation of their accuracies in points."""
    sd = "" if score.accuracy_sd is None else f" (sd {100 * score.accuracy_sd:.1f})"
    return f"{score.seeds}{sd}"


def duration(seconds: float) -> str:
    """A time on the clock, in the unit that suits it."""
    if seconds < 60:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.1f} min" if minutes < 60 else f"{minutes / 60:.1f} h"


def count(parameters: int) -> str:
    """A number of parameters, abbreviated."""
    return _abbreviated(parameters, {10**6: "M", 10**3: "k"}) or str(parameters)


def flops(operations: float) -> str:
    """A number of floating-point operations, abbreviated."""
    units = {10**15: "P", 10**12: "T", 10**9: "G", 10**6: "M"}
    return _abbreviated(operations, units) or f"{operations:.0f}"


def _abbreviated(number: float, units: Mapping[int, str]) -> str | None:
    """With three digits and the largest unit that fits; None where none does."""
    for limit, unit in units.items():
        if number >= 0.9995 * limit:  # as rounded, or there would be 1e+03 of the unit below
            return f"{number / limit:.3g} {unit}"
    return None


def listed(names: Iterable[str]) -> str:
    """`A`, `A and B`, `A, B and C`."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
