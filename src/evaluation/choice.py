"""Which experiment is the best, by validation accuracy, and which the others are held against."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from src.errors import StaleInputError

REFERENCE = "Baseline"


def reference_of(names: Collection[str]) -> str:
    """The experiment that the others are held against: Baseline, or the first without one."""
    return REFERENCE if REFERENCE in names else next(iter(names))


@dataclass(frozen=True)
class Contender:
    """An experiment with its validation accuracy, within [0, 1], and its trained parameters."""

    name: str
    val_accuracy: float
    trainable_parameters: int

    @classmethod
    def read(cls, name: str, metrics: Path) -> Contender:
        """Read a file of training metrics; raises StaleInputError where it is missing or broken."""
        try:
            found = json.loads(metrics.read_bytes())
            return cls(name, found["val"]["accuracy"], found["trainable_parameters"])
        except (OSError, ValueError, KeyError, TypeError):
            raise StaleInputError(
                str(metrics), "has no validation accuracy", "run `dvc repro`"
            ) from None


def choose(contenders: Iterable[Contender]) -> Contender:
    """The one with the highest validation accuracy; of equals, with the fewest parameters."""
    return max(contenders, key=lambda each: (each.val_accuracy, -each.trainable_parameters))
