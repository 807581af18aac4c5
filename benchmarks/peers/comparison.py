"""The table of all contenders, from the results that their programs wrote."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

GOAL = 0.9  # of validation accuracy


@dataclass(frozen=True)
class Result:
    """One training; `history` has the seconds and the validation accuracy after each epoch."""

    seed: int
    epochs: int
    batch_size: int
    size: int
    precision: str
    seconds: float
    process_seconds: float
    history: tuple[tuple[float, float], ...]
    test_accuracy: float
    peak_rss_mb: float
    versions: Mapping[str, str]

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> Result:
        """From what a program wrote; raises KeyError where that is incomplete."""
        history = tuple((each["seconds"], each["val_accuracy"]) for each in raw["history"])
        kept = {name: raw[name] for name in cls.__annotations__ if name != "history"}
        return cls(history=history, **kept)

    @property
    def goal_seconds(self) -> float | None:
        """When validation first reached the goal; None if never."""
        return next((at for at, found in self.history if found >= GOAL), None)


def table(results: Mapping[str, Sequence[Result]], ours: Sequence[str]) -> str:
    """Markdown: a row for each contender; ratios are medians over the seeds that both have."""
    there = [name for name in ours if results.get(name)]
    head = ["", "epochs", "batch", "px", "precision", "training, s", *(f"/ {n}" for n in there)]
    head += [
        "process, s",
        "test accuracy (range)",
        "to 90% validation, s",
        "memory, MiB",
        "versions",
    ]
    lines = [head, ["---"] * len(head)]
    for name, runs in results.items():
        if runs:
            ratios = [_ratio(runs, results[other]) for other in there]
            lines.append([name, *_settings(runs[0]), *_row(runs, ratios)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _settings(run: Result) -> list[str]:
    return [str(run.epochs), str(run.batch_size), str(run.size), run.precision]


def _row(runs: Sequence[Result], ratios: Sequence[str]) -> list[str]:
    seconds = [run.seconds for run in runs]
    accuracies = [100 * run.test_accuracy for run in runs]
    deviation = f" ± {statistics.stdev(accuracies):.1f}" if len(runs) > 1 else ""
    return [
        f"{statistics.median(seconds):.1f} ({min(seconds):.1f} to {max(seconds):.1f})",
        *ratios,
        f"{statistics.median(run.process_seconds for run in runs):.1f}",
        f"{statistics.mean(accuracies):.1f}%{deviation} "
        f"({min(accuracies):.1f} to {max(accuracies):.1f})",
        _goal(runs),
        f"{max(run.peak_rss_mb for run in runs):,.0f}",
        ", ".join(f"{name} {version}" for name, version in runs[0].versions.items()),
    ]


def _ratio(runs: Sequence[Result], others: Sequence[Result]) -> str:
    by_seed = {run.seed: run.seconds for run in others}
    both = [run.seconds / by_seed[run.seed] for run in runs if run.seed in by_seed]
    return f"{statistics.median(both):.2f}" if both else "–"


def _goal(runs: Sequence[Result]) -> str:
    """Median seconds, where a run that never reached it took longest."""
    seconds = [math.inf if run.goal_seconds is None else run.goal_seconds for run in runs]
    reached, median = sum(map(math.isfinite, seconds)), statistics.median(seconds)
    return f"{median:.1f} ({reached} of {len(runs)})" if math.isfinite(median) else "never"
