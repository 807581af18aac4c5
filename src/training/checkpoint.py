"""Where an interrupted run goes on: everything the next epoch depends on, and nothing else."""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from src.files import atomic
from src.training.expendable import expendable
from src.training.result import Epoch

SECONDS_BETWEEN = 20.0
SEAL = hashlib.sha256().digest_size  # bytes before the content


@dataclass
class Checkpoint:
    """A file that holds a run's state, valid only for the run whose `key` sealed it.

    The key is a digest of all that the run is a function of, so a changed parameter starts anew.
    The seal is a digest of key and content: torch does not notice a flipped bit when it loads.
    """

    path: Path
    key: str
    saved: float = field(default_factory=time.monotonic)

    def load(self) -> tuple[dict[str, Any], tuple[Epoch, ...]] | None:
        """The state and history saved last; None where there is none for this run, unharmed."""
        try:
            whole = memoryview(self.path.read_bytes())
        except OSError:
            return None
        seal, content = whole[:SEAL], whole[SEAL:]
        if seal != self._seal(content):
            return None
        found = torch.load(io.BytesIO(content), weights_only=True)
        return found["state"], tuple(Epoch(**epoch) for epoch in found["history"])

    def save(self, state: Mapping[str, Any], history: tuple[Epoch, ...]) -> None:
        """Write atomically, unless the last write was a moment ago; a full disk is only told."""
        if time.monotonic() - self.saved < SECONDS_BETWEEN:
            return
        buffer = io.BytesIO()
        torch.save({"state": dict(state), "history": [asdict(e) for e in history]}, buffer)
        content = buffer.getbuffer()
        with expendable(self.path), atomic(self.path) as temporary, temporary.open("wb") as file:
            file.write(self._seal(content))
            file.write(content)
        self.saved = time.monotonic()

    def remove(self) -> None:
        """Forget the run, which is complete."""
        self.path.unlink(missing_ok=True)

    def _seal(self, content: memoryview) -> bytes:
        seen = hashlib.sha256(self.key.encode())
        seen.update(content)
        return seen.digest()
