"""Mutated images by family, each with what may come of it: `used`, or set `aside` as unreadable."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterator

import numpy as np
from numpy.random import Generator
from PIL import Image

from tests.data.conftest import encoded, noise

Case = tuple[bytes, str]  # an image or an archive, and its outcomes with `|` between
Family = Callable[[Generator, int], Iterator[Case]]
# Pillow finds damage of the pixels themselves only where the format has checksums.
FORMATS = {"JPEG": "jpg", "PNG": "png", "BMP": "bmp", "WEBP": "webp", "PPM": "ppm"}
UNKNOWN = {"GIF": "gif", "TIFF": "tif", "ICO": "ico", "TGA": "tga"}
EITHER = "used|aside"
HEADER = 64  # bytes at the start in which bits are flipped


def whole(kind: str, seed: int = 0) -> bytes:
    return encoded(noise(seed, 40), kind)


def truncated(kind: str) -> Family:
    def cases(draw: Generator, rounds: int) -> Iterator[Case]:
        image = whole(kind)
        for place in (0, 1, 8, len(image) // 2, *draw.integers(len(image) * 9 // 10, size=rounds)):
            yield image[:place], "aside"
        yield image[:-1], EITHER

    return cases


def flipped(kind: str) -> Family:
    def cases(draw: Generator, rounds: int) -> Iterator[Case]:
        image = whole(kind)
        for _ in range(8 * rounds):
            wrong = bytearray(image)
            for _ in range(draw.integers(1, 4)):
                wrong[draw.integers(HEADER)] ^= 1 << int(draw.integers(8))
            yield bytes(wrong), EITHER

    return cases


def spliced(kind: str) -> Family:
    def cases(draw: Generator, rounds: int) -> Iterator[Case]:
        one, other = whole(kind), whole(kind, 1)
        for _ in range(4 * rounds):
            place, length, start = (int(each) for each in draw.integers(len(one), size=3))
            yield one[:place] + other[start : start + length] + one[place:], EITHER
            yield one[:place] + one[place + length % 40 :], EITHER
            yield one[:place] + draw.bytes(40) + one[place + 40 :], EITHER

    return cases


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, pixels: bytes, *notes: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = (chunk(b"IHDR", header), *notes, chunk(b"IDAT", pixels), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def dimensions(draw: Generator, rounds: int) -> Iterator[Case]:
    """Headers that promise more pixels than there are, up to what their fields can hold."""
    most = (2**31 - 1, 2**32 - 1, 65535, 20_000, *draw.integers(16_000, 2**31, size=rounds))
    for side in map(int, most):
        yield png(side, side, zlib.compress(bytes(100))), "aside"
        yield png(side, 8, zlib.compress(bytes(100))), "aside"
        yield b"P6\n%d %d\n255\n" % (side, side) + bytes(300), "aside"
        yield b"P5 %d 8 255\n" % side + bytes(300), "aside"
        bmp = bytearray(whole("BMP"))
        bmp[18:26] = struct.pack("<II", side, side)
        yield bytes(bmp), "aside"
    bmp[18:26] = struct.pack("<ii", 40, -(2**31))
    yield bytes(bmp), "aside"
    yield b"P6\n%s 40\n255\n" % (b"9" * 5000), "aside"
    jpeg = bytearray(whole("JPEG"))
    place = jpeg.index(b"\xff\xc0") + 5
    jpeg[place : place + 4] = b"\xff\xff\xff\xff"
    yield bytes(jpeg), "aside"
    webp = b"VP8X\x0a\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff"
    yield b"RIFF" + struct.pack("<I", len(webp) + 4) + b"WEBP" + webp, "aside"


def bombs(draw: Generator, rounds: int) -> Iterator[Case]:
    """Small files that unpack to much, beside the pixels or as pixels."""
    pixels = zlib.compress(bytes(40 * 121))
    zeros = zlib.compress(bytes(2**27), 9)
    yield png(40, 40, zeros), EITHER
    yield png(40, 40, pixels, chunk(b"iCCP", b"x\0\0" + zeros)), EITHER
    yield png(40, 40, pixels, chunk(b"zTXt", b"x\0\0" + zeros)), EITHER
    yield png(40, 40, pixels, chunk(b"iTXt", b"x\0\1\0\0\0" + zeros)), EITHER
    text = chunk(b"zTXt", b"x\0\0" + zlib.compress(bytes(2**20 - 1)))
    yield png(40, 40, pixels, text * 200), EITHER
    yield png(40, 40, pixels, chunk(b"tEXt", b"a\0b") * 50_000), EITHER
    yield png(40, 40, pixels, chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0))), EITHER
    jpeg = whole("JPEG")
    for marker in (0xE1, 0xE2, 0xED, 0xFE, 0xDB, 0xC4):
        segment = struct.pack(">BBH", 0xFF, marker, 65_000) + bytes(64_998)
        yield jpeg[:2] + segment * 60 + jpeg[2:], EITHER
    yield encoded(noise(0, 40), "PNG") + bytes(2**25), "used"
    frames = [Image.fromarray(noise(number, 40)) for number in range(40)]
    for kind in ("WEBP", "PNG"):
        file = io.BytesIO()
        frames[0].save(file, kind, save_all=True, append_images=frames[1:] * rounds)
        yield file.getvalue(), "used"
    yield from ((encoded(np.zeros((8, side, 3), np.uint8)), "used") for side in (8, 16_384))


def exif(draw: Generator, rounds: int) -> Iterator[Case]:
    """Sound pixels with EXIF data that count wrong, point anywhere or go round in circles."""
    entry = struct.pack("<HHII", 0x112, 3, 1, 6)
    blocks = [
        b"II*\0" + struct.pack("<IH", 8, 65535) + entry * 9,
        b"II*\0" + struct.pack("<IH", 8, 1) + entry + struct.pack("<I", 8),
        b"II*\0" + struct.pack("<IH", 2**32 - 1, 1) + entry,
        *(b"II*\0" + struct.pack("<IHHHII", 8, 1, 0x112, kind, 2**32 - 1, 8) for kind in range(14)),
        *(
            b"II*\0" + struct.pack("<IHHHII", 8, 1, tag, 4, 1, 8)
            for tag in (0x8769, 0x8825, 0xA005)
        ),
        *(b"MM\0*\0\0\0\x08" + draw.bytes(60) for _ in range(4 * rounds)),
    ]
    sound, jpeg, webp = whole("PNG"), whole("JPEG"), Image.fromarray(noise(0, 40))
    for block in blocks:
        note = chunk(b"eXIf", block)
        place = sound.index(b"IDAT") - 4
        yield sound[:place] + note + sound[place:], "used"
        yield sound[:place] + note[:-1] + b"?" + sound[place:], "used"
        segment = b"Exif\0\0" + block
        yield (
            jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + jpeg[2:],
            "used",
        )
        file = io.BytesIO()
        webp.save(file, "WEBP", exif=block)
        yield file.getvalue(), "used"


def unknown(draw: Generator, rounds: int) -> Iterator[Case]:
    """Formats that are not read, and files that are no image."""
    yield from ((whole(kind), "aside") for kind in UNKNOWN)
    yield b"<svg xmlns='http://www.w3.org/2000/svg' width='40' height='40'/>", "aside"
    yield b"%PDF-1.4", "aside"
    yield b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 40 40\n", "aside"
    yield b"P3\n40 40\n255\n" + b"1 " * 4800, "aside"
    yield from ((draw.bytes(int(size)), "aside") for size in draw.integers(2000, size=rounds))


IMAGES: dict[str, Family] = {
    **{f"{kind}, cut": truncated(kind) for kind in FORMATS},
    **{f"{kind}, bits of the header flipped": flipped(kind) for kind in FORMATS},
    **{f"{kind}, parts moved": spliced(kind) for kind in FORMATS},
    "dimensions out of proportion": dimensions,
    "bombs": bombs,
    "EXIF data": exif,
    "other formats and junk": unknown,
}
