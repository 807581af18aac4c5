"""Archives, read in memory and never extracted."""

from __future__ import annotations

import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from src.data.entries import Content, Entry, Origin
from src.data.layout import read_layout, safe_parts
from src.data.origins.base import OPENERS
from src.errors import OriginError

MAX_MEMBER = 256 * 2**20  # bytes; no photograph of a face is larger
MAX_RATIO = 200  # unpacked to packed bytes; about 1 for images, over 1000 for a zip bomb
FREE = 2**30  # unpacked bytes that are allowed at any ratio


def open_archive(path: Path) -> Origin:
    """List an archive's images.

    Raises OriginError where the archive is damaged, would unpack to an absurd size, or has a
    member that is a link, a device, or has a path that leads outside.
    """
    return _open_zip(path) if path.suffix.lower() == ".zip" else _open_tar(path)


OPENERS.update(
    dict.fromkeys((".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz"), open_archive)
)


def _open_tar(path: Path) -> Origin:
    files: list[str] = []
    folders: list[str] = []
    total = 0
    with _reading(path), tarfile.open(path) as archive:
        for member in archive:
            safe_parts(str(path), member.name)
            if not (member.isfile() or member.isdir()):
                _refuse(path, member.name, "a link or a device")
            total = _add_size(path, member.name, member.size, total)
            (folders if member.isdir() else files).append(member.name)
    layout = read_layout(str(path), files, folders)

    def read() -> Iterator[tuple[Entry, Content]]:
        with _reading(path), tarfile.open(path) as archive:
            for member in archive:
                entry = layout.entries.get(member.name)
                file = archive.extractfile(member)
                if entry and file:
                    yield entry, file.read()

    return Origin(tuple(layout.entries.values()), read, layout.empty)


def _open_zip(path: Path) -> Origin:
    files: list[str] = []
    folders: list[str] = []
    total = 0
    with _reading(path), zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            safe_parts(str(path), member.filename)
            kind = stat.S_IFMT(member.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                _refuse(path, member.filename, "a link or a device")
            if member.flag_bits & 1:
                _refuse(path, member.filename, "encrypted")
            total = _add_size(path, member.filename, member.file_size, total)
            (folders if member.is_dir() else files).append(member.filename)
    layout = read_layout(str(path), files, folders)

    def read() -> Iterator[tuple[Entry, Content]]:
        with _reading(path), zipfile.ZipFile(path) as archive:
            for name, entry in layout.entries.items():
                yield entry, archive.read(name)

    return Origin(tuple(layout.entries.values()), read, layout.empty)


def _refuse(path: Path, member: str, what: str) -> None:
    raise OriginError(f"{path}: {member}", what, "pack the archive again without it")


def _add_size(path: Path, member: str, size: int, total: int) -> int:
    """`total` and `size` in bytes; raises OriginError where a member or the sum is too large."""
    total += size
    if size > MAX_MEMBER:
        _refuse(path, member, f"unpacks to {size:,} bytes, more than any image has")
    if total > max(FREE, MAX_RATIO * path.stat().st_size):
        _refuse(path, member, f"the archive would unpack to more than {total:,} bytes")
    return total


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Raise OriginError for whatever a damaged archive raises."""
    damage = (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError, zlib.error, ValueError)
    try:
        yield
    except (*damage, RuntimeError, NotImplementedError) as error:
        raise OriginError(
            str(path), f"cannot be read as an archive ({error})", "fetch or pack it again"
        ) from None
