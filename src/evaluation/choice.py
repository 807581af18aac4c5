"""The one rule by which the best experiment is chosen; the test images have no say in it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from src.errors import StaleInputError


@dataclass(frozen=True)
class Contender:
    """What one experiment offers: an accuracy within [0, 1] for so many trained parameters."""

    name: str
    val_accuracy: float
    trainable_parameters: int

    @classmethod
    def read(cls, name: str, metrics: Path) -> Contender:
        """From the metrics that its training wrote; raises StaleInputError without them."""
        try:
            found = json.loads(metrics.read_bytes())
            return cls(name, found["val"]["accuracy"], found["trainable_parameters"])
        except (OSError, ValueError, KeyError, TypeError):
            raise StaleInputError(
                str(metrics), "no validation accuracy in it", f"run `dvc repro train@{name}`"
            ) from None


def choose(contenders: Iterable[Contender]) -> Contender:
    """The highest validation accuracy; of equals, the one that trained fewer parameters."""
    return max(contenders, key=lambda each: (each.val_accuracy, -each.trainable_parameters))
