"""What a fold leaves behind: the logits of its images, and how its network was trained."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from src.errors import StaleInputError
from src.tensors import MALFORMED, load_tensors, save_tensors
from src.training.result import Epoch

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class FoldResult:
    """One fold's network on the images that it never saw.

    logits: (M, C) float32. rows: (M,) int64, the images' row numbers in the packed dataset.
    correct: how many of the M it predicted right. chosen: the epoch that was kept, from 1. started
    and ended: milliseconds since 1970.
    """

    logits: Tensor
    rows: Tensor
    correct: int
    history: tuple[Epoch, ...]
    chosen: int
    started: int
    ended: int

    @property
    def accuracy(self) -> float:
        """The share of its images that it predicted right."""
        return self.correct / len(self.rows)

    def save(self, path: Path) -> None:
        """Write atomically as safetensors."""
        facts = {
            "correct": self.correct,
            "history": [asdict(epoch) for epoch in self.history],
            "chosen": self.chosen,
            "started": self.started,
            "ended": self.ended,
        }
        save_tensors(path, {"logits": self.logits, "rows": self.rows}, fold=facts)

    @classmethod
    def load(cls, path: Path) -> FoldResult:
        """Read a file that `save` wrote; raises StaleInputError where it is not one."""
        try:
            tensors, metadata = load_tensors(path)
            facts = json.loads(metadata["fold"])
            history = tuple(Epoch(**epoch) for epoch in facts.pop("history"))
            return cls(tensors["logits"], tensors["rows"], history=history, **facts)
        except MALFORMED:
            raise StaleInputError(str(path), "not a fold's result", "remove it") from None
