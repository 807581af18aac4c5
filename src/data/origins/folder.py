"""Folders of images."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from src.config import Data
from src.data.entries import Content, Entry, Origin
from src.data.files import read_file
from src.data.layout import read_layout
from src.errors import ImageError, OriginError

MAX_DEPTH = 8  # folders; a deeper path comes from a link that leads back up


def open_folder(path: Path, data: Data) -> Origin:
    """List a folder's images, following links (DVC may link files to its cache).

    Raises OriginError where it is not laid out by subject, or holds anything but files.
    """
    files, folders = [], []
    for parent, below, names in os.walk(path, onerror=_refuse, followlinks=True):
        here = Path(parent).relative_to(path)
        if len(here.parts) > MAX_DEPTH:
            raise OriginError(f"{path}/{here}", "nested too deep", "remove links that lead back up")
        below[:] = sorted(name for name in below if not name.startswith("."))
        folders += [(here / name).as_posix() for name in below]
        files += [(here / name).as_posix() for name in sorted(names)]
    layout = read_layout(str(path), files, folders)

    def read() -> Iterator[tuple[Entry, Content]]:
        for name, entry in layout.entries.items():
            yield entry, _read(path / name, data.max_bytes)

    return Origin(tuple(layout.entries.values()), read, layout.empty)


def _refuse(error: OSError) -> NoReturn:
    what = f"cannot be read ({error.strerror})"
    raise OriginError(str(error.filename), what, "check its permissions") from None


def _read(file: Path, max_bytes: int) -> Content:
    if not file.is_file():
        raise OriginError(str(file), "not a file, or a broken link", "remove or replace it")
    try:
        return read_file(file, max_bytes)
    except ImageError as error:
        return error
    except OSError as error:
        raise OriginError(str(file), f"cannot be read ({error})", "check its permissions") from None
