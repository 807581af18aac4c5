"""Archives, read in memory and never extracted."""

from __future__ import annotations

import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

from src.data.entries import Content, Entry, Origin
from src.data.layout import Layout, read_layout, safe_parts
from src.data.origins.base import OPENERS
from src.errors import OriginError

MAX_MEMBER = 256 * 2**20  # bytes; no photograph of a face is larger
MAX_RATIO = 200  # unpacked to packed bytes; about 1 for images, over 1000 for a zip bomb
FREE = 2**30  # unpacked bytes that are allowed at any ratio
# What reading a damaged archive raises.
DAMAGE = (tarfile.TarError, BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError)


@dataclass(frozen=True)
class Member:
    """A member as its archive lists it; `problem` says why it must not be read."""

    name: str
    size: int  # bytes, unpacked
    is_folder: bool
    problem: str = ""


def open_archive(path: Path) -> Origin:
    """List an archive's images.

    Raises OriginError where the archive is damaged, would unpack to an absurd size, or has a
    member that is encrypted, a link or a device, or whose path leads outside.
    """
    return _open_zip(path) if path.suffix.lower() == ".zip" else _open_tar(path)


SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
OPENERS.update(dict.fromkeys(SUFFIXES, open_archive))


def _open_tar(path: Path) -> Origin:
    with _reading(path), tarfile.open(path) as archive:
        layout = _layout(path, map(_tar_member, archive))

    def read() -> Iterator[tuple[Entry, Content]]:
        with _reading(path), tarfile.open(path) as archive:
            for member in archive:
                entry = layout.entries.get(member.name)
                file = archive.extractfile(member)
                if entry and file:
                    yield entry, file.read()

    return Origin(tuple(layout.entries.values()), read, layout.empty)


def _tar_member(member: tarfile.TarInfo) -> Member:
    problem = "" if member.isfile() or member.isdir() else "a link or a device"
    return Member(member.name, member.size, member.isdir(), problem)


def _open_zip(path: Path) -> Origin:
    with _reading(path), zipfile.ZipFile(path) as archive:
        layout = _layout(path, map(_zip_member, archive.infolist()))

    def read() -> Iterator[tuple[Entry, Content]]:
        with _reading(path), zipfile.ZipFile(path) as archive:
            for name, entry in layout.entries.items():
                yield entry, archive.read(name)

    return Origin(tuple(layout.entries.values()), read, layout.empty)


def _zip_member(member: zipfile.ZipInfo) -> Member:
    problem = "encrypted" if member.flag_bits & 1 else ""
    if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
        problem = "a link or a device"
    return Member(member.filename, member.file_size, member.is_dir(), problem)


def _layout(path: Path, members: Iterable[Member]) -> Layout:
    """The layout of an archive; whatever is unsafe is refused before anything is unpacked."""
    files: list[str] = []
    folders: list[str] = []
    total = 0
    limit = max(FREE, MAX_RATIO * path.stat().st_size)
    for member in members:
        safe_parts(str(path), member.name)
        total += member.size
        problem = member.problem
        if member.size > MAX_MEMBER:
            problem = f"unpacks to {member.size:,} bytes, more than any image has"
        elif total > limit:
            problem = f"the archive would unpack to more than {limit:,} bytes"
        if problem:
            mend = "pack the archive again without it"
            raise OriginError(f"{path}: {member.name}", problem, mend)
        (folders if member.is_folder else files).append(member.name)
    return read_layout(str(path), files, folders)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Raise OriginError where the archive turns out to be damaged."""
    try:
        yield
    except DAMAGE as error:
        raise OriginError(
            str(path), f"cannot be read as an archive ({error})", "fetch or pack it again"
        ) from None
