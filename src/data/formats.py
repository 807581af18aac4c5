"""What Pillow accepts in a file and this project does not."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator

from PIL import Image, ImageFile

from src.errors import ImageError

MAX_SCANS = 32  # of a progressive JPEG, each of which takes as long as a plain one; usual are 10
MAX_SLOW = 2**18  # pixels in a form of PNM that Pillow reads one by one, in Python
PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
NOTES = {b"eXIf", b"tEXt", b"zTXt", b"iTXt", b"tIME"}  # chunks of a PNG without a say in its pixels
# In a JPEG's compressed data, what is neither a pixel, a restart marker nor padding.
MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


def check(file: str, content: bytes, image: Image.Image) -> None:
    """Raise ImageError for an opened image that is cut or costs too much time to decode."""
    what, mend = "", "save it again"
    if image.format in ("JPEG", "MPO") and scans(content) > MAX_SCANS:
        what = f"a JPEG of more than {MAX_SCANS} scans"
    elif image.format == "PNG" and not has_end(content):
        what, mend = "a broken image (it is cut)", "replace or remove it"
    elif image.format == "PPM" and isinstance(image, ImageFile.ImageFile):
        decoder = image.tile[0][0]
        if decoder == "ppm_plain":
            what, mend = "a plain PNM", "save it as a binary one"
        elif decoder == "ppm" and image.width * image.height > MAX_SLOW:
            what, mend = "a large PNM of unusual depth", "save it with 255 as its largest value"
    if what:
        raise ImageError(file, what, mend)


def scans(jpeg: bytes) -> int:
    """The number of scans up to a JPEG's end, or to where its markers make no sense."""
    count, place = 0, 2
    while place + 4 <= len(jpeg) and jpeg[place] == 0xFF:
        marker = jpeg[place + 1]
        if marker == 0xD9:
            break
        if marker == 0xFF:  # padding
            place += 1
            continue
        place += 2 + int.from_bytes(jpeg[place + 2 : place + 4], "big")
        if marker == 0xDA:
            count += 1
            found = MARKER.search(jpeg, place)
            place = found.start() if found else len(jpeg)
    return count


def has_end(png: bytes) -> bool:
    """Whether the chunks of a PNG go on to the last one, which Pillow does not ask for."""
    return any(kind == b"IEND" and end <= len(png) for kind, _, end in _chunks(png))


def without_broken_notes(content: bytes) -> bytes:
    """A PNG without those of its NOTES whose checksum is wrong, for which Pillow refuses it."""
    if not content.startswith(PNG_MAGIC):
        return content
    broken = [
        (start, end)
        for kind, start, end in _chunks(content)
        if kind in NOTES
        and end <= len(content)
        and zlib.crc32(content[start + 4 : end - 4]).to_bytes(4) != content[end - 4 : end]
    ]
    for start, end in reversed(broken):
        content = content[:start] + content[end:]
    return content


def _chunks(png: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Each chunk's kind, where it starts and where it should end, up to the last."""
    start, kind = len(PNG_MAGIC), b""
    while start + 12 <= len(png) and kind != b"IEND":
        kind = png[start + 4 : start + 8]
        end = start + 12 + int.from_bytes(png[start : start + 4], "big")
        yield kind, start, end
        start = end
