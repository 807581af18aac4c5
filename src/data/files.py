"""Reading image files of bounded size."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from src.errors import ImageError


def read_file(path: Path, max_bytes: int) -> bytes:
    """The bytes of a file; raises ImageError if it has more than `max_bytes`, and OSError.

    Only a regular file is read: a named pipe would never end.
    """
    with open(path, "rb", opener=_without_waiting) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise ImageError(str(path), "not a regular file", "give the path of an image file")
        # A limit for reading too, since a file may grow.
        if status.st_size > max_bytes or len(content := file.read(max_bytes + 1)) > max_bytes:
            what = f"{status.st_size:,} bytes, more than data.max_bytes ({max_bytes:,})"
            raise ImageError(str(path), what, "make it smaller or remove it")
    return content


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)
