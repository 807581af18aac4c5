"""Reading xz files in bounded memory.

The header of a block says how large a dictionary it needs, up to 4 GiB, and `lzma.open` allocates
whatever it says.
"""

from __future__ import annotations

import io
import lzma
from pathlib import Path
from typing import IO, cast

MAX_MEMORY = 2**27  # bytes to unpack with; `xz -9` asks for 65 MiB
CHUNK = 2**16  # bytes read from the file at a time


def open_xz(path: Path) -> IO[bytes]:
    """The unpacked file; reading raises lzma.LZMAError or EOFError where it is damaged."""
    return cast(IO[bytes], io.BufferedReader(_Unpacked(path)))


class _Unpacked(io.RawIOBase):
    """One or more xz streams, which may have zeros between them and after the last."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._rewind()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        self._file.close()
        super().close()

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        target = offset + (self._place if whence == io.SEEK_CUR else 0)
        if target < self._place:
            self._rewind()
        while self._place < target and self._unpack(min(CHUNK, target - self._place)):
            pass
        return self._place

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        content = self._unpack(len(buffer))
        buffer[: len(content)] = content
        return len(content)

    def _rewind(self) -> None:
        self._file.seek(0)
        self._place, self._stream = 0, self._new()

    def _new(self) -> lzma.LZMADecompressor:
        return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MAX_MEMORY)

    def _unpack(self, size: int) -> bytes:
        """Up to `size` bytes; none at the end of the last stream."""
        while True:
            if self._stream.eof and not self._another():
                return b""
            packed = self._file.read(CHUNK) if self._stream.needs_input else b""
            if self._stream.needs_input and not packed:
                raise EOFError("the xz stream is cut")
            if content := self._stream.decompress(packed, size):
                self._place += len(content)
                return content

    def _another(self) -> bool:
        """Go on to the next stream, if there is one."""
        rest = self._stream.unused_data.lstrip(b"\0")
        while not rest and (more := self._file.read(CHUNK)):
            rest = more.lstrip(b"\0")
        if not rest:
            return False
        self._file.seek(-len(rest), io.SEEK_CUR)
        self._stream = self._new()
        return True
