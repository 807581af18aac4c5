"""Where an interrupted run goes on: everything the next epoch depends on, and nothing else."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from src.files import atomic
from src.training.result import Epoch

SECONDS_BETWEEN = 20.0


@dataclass
class Checkpoint:
    """A file that holds a run's state, valid only for the run whose `key` it carries.

    The key is a digest of all that the run is a function of, so a changed parameter starts anew.
    """

    path: Path
    key: str
    saved: float = field(default_factory=time.monotonic)

    def load(self) -> tuple[dict[str, Any], tuple[Epoch, ...]] | None:
        """The state and history saved last; None where there is none for this run."""
        try:
            content = torch.load(self.path, weights_only=True)
        except (OSError, RuntimeError, EOFError, UnpicklingError):
            return None
        if content.get("key") != self.key:
            return None
        return content["state"], tuple(Epoch(**epoch) for epoch in content["history"])

    def save(self, state: Mapping[str, Any], history: tuple[Epoch, ...]) -> None:
        """Write atomically, unless the last write was a moment ago."""
        if time.monotonic() - self.saved < SECONDS_BETWEEN:
            return
        content = {
            "key": self.key,
            "state": dict(state),
            "history": [asdict(epoch) for epoch in history],
        }
        with atomic(self.path) as temporary:
            torch.save(content, temporary)
        self.saved = time.monotonic()

    def remove(self) -> None:
        """Forget the run, which is complete."""
        self.path.unlink(missing_ok=True)
