"""The scratch folder: whatever is written there can be recomputed, so no run depends on it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from src.errors import OutputError


@contextmanager
def optional_write(path: Path) -> Iterator[None]:
    """Write `path` inside; if the disk is full or not writable, warn and carry on without it."""
    try:
        yield
    except (OSError, OutputError, SafetensorError) as error:
        print(f"warning: {path} is not kept ({error})", file=sys.stderr)
