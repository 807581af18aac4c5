"""Checkpoints of a run: everything the next epoch depends on, and nothing else."""

from __future__ import annotations

import hashlib
import io
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from src.files import atomic
from src.training.ranks import ALONE, Ranks
from src.training.result import Epoch
from src.training.scratch import optional_write

SECONDS_BETWEEN = 20.0
SEAL = hashlib.sha256().digest_size  # bytes before the content


@dataclass
class Checkpoint:
    """A file that holds a run's state, valid only for the run whose `key` sealed it.

    The key is a digest of all that the run is a function of, so a changed parameter starts afresh.
    The seal is a digest of key and content: torch does not notice a flipped bit when it loads.
    With `keep`, the end of the run is saved too, for the sake of runs that follow it. Of several
    ranks the first writes and reads the file, and all resume from what it holds.
    """

    path: Path
    key: str
    ranks: Ranks = ALONE
    keep: bool = False
    saved: float = field(default_factory=time.monotonic)

    def load(self) -> tuple[dict[str, Any], tuple[Epoch, ...]] | None:
        """The state and history saved last; None without an intact checkpoint of this run.

        A file that is none, for whatever reason, is told in one line.
        """
        content = self.ranks.of_first(self._content() if self.ranks.first else memoryview(b""))
        if not content:
            return None
        try:
            found = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
            return found["state"], tuple(Epoch(**epoch) for epoch in found["history"])
        except Exception:  # torch raises nearly anything on what is not its own
            self.ignored()
            return None

    def _content(self) -> memoryview:
        """What the file holds after its seal; nothing without an intact file."""
        nothing = memoryview(b"")
        if not self.path.exists():
            return nothing
        with suppress(OSError):
            data = memoryview(self.path.read_bytes() if self.path.is_file() else b"")
            seal, content = data[:SEAL], data[SEAL:]
            if content and seal == self._seal(content):
                return content
        self.ignored()
        return nothing

    def ignored(self) -> None:
        """Tell that training starts anew."""
        if not self.ranks.first:
            return
        what = "damaged, or of other settings, so training starts anew"
        print(f"warning: {self.path} is {what}", file=sys.stderr)

    def save(
        self, state: Mapping[str, Any], history: tuple[Epoch, ...], *, ended: bool = False
    ) -> None:
        """Write atomically, at most every `SECONDS_BETWEEN`; a full disk is only a warning."""
        due = time.monotonic() - self.saved >= SECONDS_BETWEEN
        if not self.ranks.first or (not due and not (ended and self.keep)):
            return
        buffer = io.BytesIO()
        torch.save({"state": dict(state), "history": [asdict(e) for e in history]}, buffer)
        content = buffer.getbuffer()
        with (
            optional_write(self.path),
            atomic(self.path) as temporary,
            temporary.open("wb") as file,
        ):
            file.write(self._seal(content))
            file.write(content)
        self.saved = time.monotonic()

    def remove(self) -> None:
        """Delete the file once the run is complete."""
        if not self.ranks.first:
            return
        with optional_write(self.path):
            self.path.unlink(missing_ok=True)

    def _seal(self, content: memoryview) -> bytes:
        seen = hashlib.sha256(self.key.encode())
        seen.update(content)
        return seen.digest()
