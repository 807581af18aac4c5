"""Reading tar archives in bounded memory, and to their very end.

tarfile takes a header that it cannot read for the end of the archive, so that one wrong bit loses
all images behind it; it reads names of any length into memory, and keeps every header.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import IO, cast

from src.data.xz import open_xz

BLOCK = tarfile.BLOCKSIZE
MAX_NAME = 2**16  # bytes of a long name or of a member's other keys
FREE_HEADERS = 2**25  # bytes of headers that are allowed in an archive of any size
MAX_HEADERS = 4  # bytes of headers for each byte of a larger archive, packed
MAX_PADDING = 2**24  # bytes of zeros after the last member; tar writes up to a few thousand
OPEN: dict[bytes, Callable[[Path], object]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ": open_xz,
}
# What reading a damaged archive raises.
DAMAGE = (
    *(tarfile.TarError, lzma.LZMAError, zlib.error),
    *(EOFError, LookupError, OSError, OverflowError, RuntimeError, ValueError),
)


def members(path: Path, max_bytes: int) -> Iterator[tuple[tarfile.TarInfo, Callable[[], bytes]]]:
    """Every member, with a function that reads its content until the next one is asked for.

    Raises one of DAMAGE where the archive is damaged, does not end as its format says, or has
    headers out of all proportion; and on reading a member of more than `max_bytes`.
    """
    with _unpacked(path) as file:
        stream = _Stream(file, max(FREE_HEADERS, MAX_HEADERS * path.stat().st_size))
        with tarfile.TarFile(fileobj=cast(IO[bytes], stream)) as archive:
            while member := archive.next():
                archive.members.clear()  # type: ignore[attr-defined]  # or it would keep every header
                if member.size < 0:
                    raise tarfile.ReadError("a member of negative size")
                yield member, partial(stream.content, member, max_bytes)
        stream.check_end()


def _unpacked(path: Path) -> IO[bytes]:
    with path.open("rb") as file:
        start = file.read(8)
    opener = next((OPEN[magic] for magic in OPEN if start.startswith(magic)), None)
    return cast(IO[bytes], opener(path)) if opener else path.open("rb")


class _Stream:
    """The unpacked archive as tarfile reads it, which are the headers only."""

    def __init__(self, file: IO[bytes], budget: int) -> None:
        self.file, self.budget = file, budget
        self.last = 0  # where tarfile last read from
        self.tell, self.seek = file.tell, file.seek

    def read(self, size: int) -> bytes:
        if not 0 <= size <= MAX_NAME:
            raise tarfile.ReadError(f"a header of {size:,} bytes")
        self.budget -= size
        if self.budget < 0:
            raise tarfile.ReadError("more headers than an archive of its size has")
        self.last = self.tell()
        return self.file.read(size)

    def content(self, member: tarfile.TarInfo, max_bytes: int) -> bytes:
        if member.size > max_bytes or member.issparse():
            raise tarfile.ReadError(f"{member.name} has {member.size:,} bytes")
        self.seek(member.offset_data)
        content = self.file.read(member.size)
        if len(content) < member.size:
            raise EOFError("unexpected end of data")
        return content

    def check_end(self) -> None:
        """Raise where tarfile stopped, unless two or more blocks of zeros and nothing follow."""
        self.seek(self.last)
        zeros = 0
        while zeros <= MAX_PADDING and (block := self.file.read(MAX_NAME)):
            if block.strip(b"\0"):
                raise tarfile.ReadError(f"a damaged header after byte {self.last:,}")
            zeros += len(block)
        if zeros < 2 * BLOCK:
            raise tarfile.ReadError("it lacks its end")
        if zeros > MAX_PADDING:
            raise tarfile.ReadError("too many zeros at its end")
