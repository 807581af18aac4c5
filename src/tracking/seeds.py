"""The runs of an experiment's seeds beside the experiment's own, which has their means."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean

from src.tracking.record import MetricPoint

SEED, SEEDS = "seed", "seeds"  # parameters: a run's seed, or its first, and their number
SIGNIFICANT = 6  # digits of a mean


def seed_name(name: str, seed: int) -> str:
    """The name of the child run of one seed."""
    return f"{name}-seed{seed}"


def seed_params(params: Mapping[str, str], seed: int) -> dict[str, str]:
    """The parameters of one seed's run: those that it would have without the others."""
    return {**params, SEED: str(seed), SEEDS: "1"}


def mean_points(runs: Iterable[Sequence[MetricPoint]]) -> list[MetricPoint]:
    """For each step the means over the runs that have it, with the time of the last of them."""
    steps: dict[int, list[MetricPoint]] = defaultdict(list)
    for points in runs:
        for point in points:
            steps[point.step].append(point)
    return [
        MetricPoint(
            step=step,
            time=max(point.time for point in steps[step]),
            metrics=mean_metrics([point.metrics for point in steps[step]]),
        )
        for step in sorted(steps)
    ]


def mean_metrics(runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean of each metric; all have the same."""
    return {key: _mean([metrics[key] for metrics in runs]) for key in runs[0]}


def _mean(values: Sequence[float]) -> float:
    """Without digits that say nothing of a few seeds; a count that all share is exact."""
    shared = len(set(values)) == 1
    return values[0] if shared else float(f"{fmean(values):.{SIGNIFICANT}g}")
