"""What Pillow accepts in a file and this project does not."""

from __future__ import annotations

import re

from PIL import Image, ImageFile

from src.errors import ImageError

MAX_SCANS = 32  # of a progressive JPEG, each of which takes as long as a plain one; usual are 10
MAX_SLOW = 2**18  # pixels in a form of PNM that Pillow reads one by one, in Python
PNG_START = 8  # bytes before the first chunk
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
    place = PNG_START
    while place + 12 <= len(png):
        kind = png[place + 4 : place + 8]
        place += 12 + int.from_bytes(png[place : place + 4], "big")
        if kind == b"IEND":
            return place <= len(png)
    return False
