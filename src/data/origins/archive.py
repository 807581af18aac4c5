"""Archives, read in memory and never extracted."""

from __future__ import annotations

import stat
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

from src.config import Data
from src.data.entries import Content, Entry, Origin
from src.data.layout import Layout, read_layout, safe_parts
from src.data.origins.base import OPENERS
from src.data.tar import DAMAGE, members
from src.errors import OriginError

MAX_RATIO = 200  # unpacked to packed bytes; about 1 for images, over 1000 for a zip bomb
FREE = 2**30  # unpacked bytes that are allowed at any ratio
UTF_8 = 0x800  # the flag of a member of a zip whose name is said to be UTF-8
ZIP_END = 22  # bytes at the end of a zip, before a comment of at most 64 KiB
# Those that zipfile unpacks no further than it is asked to.
BOUNDED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


@dataclass(frozen=True)
class Member:
    """A member as its archive lists it; `problem` says why it must not be read."""

    name: str
    size: int  # bytes, unpacked
    is_folder: bool
    problem: str = ""


def open_archive(path: Path, data: Data) -> Origin:
    """List an archive's images.

    Raises OriginError where the archive is damaged, would unpack to an absurd size, or has a
    member that is encrypted, a link or a device, or whose path leads outside.
    """
    if not path.is_file():
        raise OriginError(str(path), "not a file", "give the path of an archive")
    open_it = _open_zip if path.suffix.lower() == ".zip" else _open_tar
    return open_it(path, data.max_bytes)


SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
OPENERS.update(dict.fromkeys(SUFFIXES, open_archive))


def _open_tar(path: Path, max_bytes: int) -> Origin:
    with reading(path):
        listed = (_tar_member(member) for member, _ in members(path, max_bytes))
        layout = _layout(path, listed, max_bytes)

    def read() -> Iterator[tuple[Entry, Content]]:
        with reading(path):
            for member, content in members(path, max_bytes):
                if (entry := layout.entries.get(member.name)) and member.isfile():
                    yield entry, content()

    return Origin(tuple(layout.entries.values()), read, layout.empty)


def _tar_member(member: tarfile.TarInfo) -> Member:
    problem = "" if member.isfile() or member.isdir() else "a link or a device"
    if member.issparse():
        problem = "a sparse file"
    return Member(member.name, member.size, member.isdir(), problem)


def _open_zip(path: Path, max_bytes: int) -> Origin:
    with reading(path), zipfile.ZipFile(path) as archive:
        _check_count(path, len(archive.infolist()))
        layout = _layout(path, map(_zip_member, archive.infolist()), max_bytes)

    def read() -> Iterator[tuple[Entry, Content]]:
        with reading(path), zipfile.ZipFile(path) as archive:
            listed = {_zip_name(member): member for member in archive.infolist()}
            for name, entry in layout.entries.items():
                with archive.open(listed[name]) as file:
                    yield entry, file.read(max_bytes)  # a limit, since the listed size may be wrong

    return Origin(tuple(layout.entries.values()), read, layout.empty)


def _check_count(path: Path, found: int) -> None:
    """Raise BadZipFile where the end of a zip tells another number of members than were found.

    zipfile lists what it finds between two places that the end tells, however little that is.
    """
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - ZIP_END - 2**16))
        end = file.read()
    end = end[end.rindex(b"PK\5\6") :]
    if (told := int.from_bytes(end[10:12], "little")) not in (found % 2**16, 2**16 - 1):
        raise BadZipFile(f"{found} members instead of {told}")


def _zip_member(member: zipfile.ZipInfo) -> Member:
    problem = "encrypted" if member.flag_bits & 1 else ""
    if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
        problem = "a link or a device"
    if member.compress_type not in BOUNDED:
        problem = "packed by another method than deflate"
    return Member(_zip_name(member), member.file_size, member.is_dir(), problem)


def _zip_name(member: zipfile.ZipInfo) -> str:
    """The name of a member, which macOS writes as UTF-8 without saying so."""
    with suppress(UnicodeError):
        if not member.flag_bits & UTF_8:
            return member.filename.encode("cp437").decode()
    return member.filename


def _layout(path: Path, listed: Iterable[Member], max_bytes: int) -> Layout:
    """The layout of an archive; whatever is unsafe is refused before anything is unpacked."""
    files: list[str] = []
    folders: list[str] = []
    total = 0
    limit = max(FREE, MAX_RATIO * path.stat().st_size)
    for member in listed:
        safe_parts(str(path), member.name)
        total += member.size
        problem = member.problem
        if member.size > max_bytes:
            problem = f"unpacks to {member.size:,} bytes, more than data.max_bytes ({max_bytes:,})"
        elif total > limit:
            problem = f"the archive would unpack to more than {limit:,} bytes"
        if problem:
            mend = "pack the archive again without it"
            raise OriginError(f"{path}: {member.name}", problem, mend)
        (folders if member.is_folder else files).append(member.name)
    return read_layout(str(path), files, folders)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Raise OriginError where the archive turns out to be damaged."""
    try:
        yield
    except (*DAMAGE, BadZipFile) as error:
        raise OriginError(
            str(path), f"cannot be read as an archive ({error})", "fetch or pack it again"
        ) from None
