"""The scratch folder: whatever is written there can be made again, and nothing needs it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError


@contextmanager
def expendable(path: Path) -> Iterator[None]:
    """Write `path` inside; where the disk is full or refuses, warn and go on without it."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        print(f"warning: {path} is not kept ({error})", file=sys.stderr)
