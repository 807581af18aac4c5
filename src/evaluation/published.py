"""The published results that the report shows beside ours.

They come from the system that this project rebuilds: 100 FaceScrub subjects, 40 training and 10
test images each, 64x64 pixels. The user's dataset is another, so only the order of the
experiments can be compared, not the level. The curves end up to 1.1 points from the table's
figures: as published, the two are not of the same run.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

DATASET = "100 FaceScrub subjects"


@dataclass(frozen=True)
class PublishedResult:
    """One row of the published table; accuracies within [0, 1]."""

    train_accuracy: float
    test_accuracy: float
    epochs: int
    batch_size: int


def _rows(name: str) -> list[dict[str, str]]:
    text = files("src.evaluation").joinpath("published", name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


@cache
def table() -> dict[str, PublishedResult]:
    """The published row of each experiment, by its name."""
    return {
        row["experiment"]: PublishedResult(
            float(row["train_acc"]),
            float(row["test_acc"]),
            int(row["epochs"]),
            int(row["batch_size"]),
        )
        for row in _rows("table.csv")
    }


def accuracies() -> dict[str, float]:
    """The published test accuracy of each experiment, by its name."""
    return {name: row.test_accuracy for name, row in table().items()}


@cache
def curves() -> dict[str, tuple[float, ...]]:
    """Published test accuracy after each epoch, by experiment."""
    series: defaultdict[str, list[float]] = defaultdict(list)
    for row in _rows("curves.csv"):
        series[row["experiment"]].append(float(row["test_acc"]))
    return {name: tuple(values) for name, values in series.items()}
