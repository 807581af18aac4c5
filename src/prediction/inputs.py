"""Which photos the arguments of a command name: files, folders, patterns, and lists on stdin."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from glob import glob, has_magic
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from src.data.layout import CLUTTER, IMAGE_SUFFIXES
from src.errors import ImageError

STDIN = "-"
EXPLAINED = ".explained.png"  # ends the names of the images that `src.prediction.explain` writes
CHUNK = 2**16  # bytes that are read at a time
Found = Path | ImageError  # a photo, or why there is none where one should be


def photos(arguments: Iterable[str], end: bytes = b"\n") -> Iterator[Found]:
    """The photos that `arguments` name, in their order; of a folder, sorted by path.

    A folder stands for the images below it, by the suffixes that the dataset stage knows; what is
    hidden is left out, as there. A pattern that no shell has expanded is expanded here. `-` reads
    files and folders from stdin, each followed by `end`.
    """
    for argument in arguments:
        if argument == STDIN:
            yield from _listed(sys.stdin.buffer, end)
        elif has_magic(argument) and not os.path.lexists(argument):
            yield from _matches(argument)
        else:
            yield from _within(Path(argument))


def _listed(stream: BinaryIO, end: bytes) -> Iterator[Found]:
    names = _separated(stream, end)
    first = next(names, None)
    if first is None:
        yield ImageError(STDIN, "no photo is listed on stdin", "check what lists them")
        return
    for name in chain([first], names):
        yield from _within(Path(os.fsdecode(name)))


def _separated(stream: BinaryIO, end: bytes) -> Iterator[bytes]:
    """The names in a stream as they arrive, without empty ones."""
    rest = b""
    while chunk := os.read(stream.fileno(), CHUNK):
        *names, rest = (rest + chunk).split(end)
        yield from filter(None, names)
    if rest:
        yield rest


def _matches(pattern: str) -> Iterator[Found]:
    names = sorted(glob(pattern, recursive=True))  # noqa: PTH207  # absolute ones, too
    if not names:
        yield ImageError(pattern, "no file matches this pattern", "check the pattern")
    for name in names:
        if "**" not in pattern:
            yield from _within(Path(name))
        elif not os.path.isdir(name):  # noqa: PTH112  # what is in it matches by itself
            yield Path(name)


def _within(path: Path) -> Iterator[Found]:
    """The photo `path`, or the photos in that folder."""
    if not os.path.isdir(path):  # noqa: PTH112  # unlike Path.is_dir, False for any text
        yield path
        return
    empty = True
    for found in _walk(path):
        empty = False
        yield found
    if empty:
        kinds = ", ".join(sorted(IMAGE_SUFFIXES))
        yield ImageError(str(path), f"a folder without images ({kinds})", "name another")


def _walk(folder: Path) -> Iterator[Found]:
    seen = set()  # a link may lead back up
    refused: list[OSError] = []
    for parent, below, names in os.walk(folder, followlinks=True, onerror=refused.append):
        status = os.stat(parent)  # noqa: PTH116
        if (identity := (status.st_dev, status.st_ino)) in seen:
            below.clear()
            continue
        seen.add(identity)
        below[:] = sorted(name for name in below if _is_shown(name))
        for name in sorted(filter(_is_image, names)):
            yield Path(parent, name)
    for error in refused:
        what = (error.strerror or "cannot be read").lower()
        yield ImageError(str(error.filename), what, "check its permissions")


def _is_shown(name: str) -> bool:
    return not name.startswith(".") and name not in CLUTTER


def _is_image(name: str) -> bool:
    suffix = Path(name).suffix.lower()
    return _is_shown(name) and suffix in IMAGE_SUFFIXES and not name.endswith(EXPLAINED)
