"""Images that cost too much are refused, or cost little; damage beside the pixels does no harm."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from src.data.decode import decode
from src.errors import ImageError
from tests.data.conftest import encoded, noise, settings, write_folder

DATA = settings("origin")
PACK = """
import resource, sys
from src.config import Data
from src.data.origins import open_origin
from src.data.pack import _decode
data = Data(origin=sys.argv[1], image_size=32)
origin = open_origin(data)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
images, unreadable = _decode(origin, data)
print(len(images), (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def blank(mode: str, kind: str, side: int = 7000, **options: object) -> bytes:
    file = io.BytesIO()
    Image.new(mode, (side, side)).save(file, kind, **options)
    return file.getvalue()


def test_large_images_are_decoded_one_at_a_time(tmp_path: Path) -> None:
    small = noise(1, 32)
    modes = ("RGB", "RGBA", "I;16", "RGBA")
    large = {mode: blank(mode, "PNG", 6000, compress_level=1) for mode in {*modes}}
    files = {f"a/{number}.png": large[mode] for number, mode in enumerate(modes)}
    folder = write_folder(tmp_path, files | {"b/0.png": encoded(small)})
    done = subprocess.run(
        [sys.executable, "-c", PACK, folder], capture_output=True, text=True, check=True
    )
    decoded, grown = map(int, done.stdout.split())
    assert decoded == len(files) + 1
    assert grown < 450


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L", "LA", "I;16", "1"])
def test_a_large_image_looks_as_it_would_at_a_smaller_size(mode: str) -> None:
    small = Image.fromarray(noise(1, 60))
    if mode == "I;16":
        small = Image.fromarray(np.asarray(small.convert("L"), np.uint16) * 257)
    else:
        small = small.convert(mode)
    file, large = io.BytesIO(), io.BytesIO()
    small.resize((720, 720), Image.Resampling.NEAREST).save(file, "PNG")
    small.resize((2880, 2880), Image.Resampling.NEAREST).save(large, "PNG")
    one, other = (decode("x", each.getvalue(), DATA).astype(int) for each in (file, large))
    assert np.abs(one - other).max() <= 6


@pytest.mark.parametrize("magic", [b"P1", b"P2", b"P3"])
def test_a_plain_pnm_is_refused(magic: bytes) -> None:
    largest = b"" if magic == b"P1" else b"255\n"
    with pytest.raises(ImageError, match="x: a plain PNM; save it as a binary one"):
        decode("x", magic + b"\n40 40\n" + largest + b"1 " * 4800, DATA)


def test_a_pnm_of_unusual_depth_is_decoded_only_if_it_is_small() -> None:
    pixels = noise(1, 32)
    content = b"P6 32 32 65535\n" + (pixels.astype(">u2") * 257).tobytes()
    assert np.array_equal(decode("x", content, DATA), pixels)
    with pytest.raises(ImageError, match="unusual depth"):
        decode("x", b"P6 6000 6000 127\n" + bytes(108_000_000), DATA)


def test_a_jpeg_of_many_scans_is_refused_at_once() -> None:
    whole = blank("RGB", "JPEG", progressive=True)
    last = whole[whole.rindex(b"\xff\xda") : -2]
    started = time.process_time()
    with pytest.raises(ImageError, match="more than 32 scans"):
        decode("x", whole[:-2] + last * 200 + whole[-2:], DATA)
    assert time.process_time() - started < 2


@pytest.mark.parametrize("progressive", [True, False])
def test_a_jpeg_with_others_within_and_behind_it_is_decoded(progressive: bool) -> None:
    pixels = noise(1, 32)
    whole = encoded(pixels, "JPEG", quality=95, progressive=progressive)
    other = whole * 40  # as a preview and as the film that some cameras append
    segment = b"\xff\xe5" + struct.pack(">H", len(whole * 10) + 2) + whole * 10
    decoded = decode("x", whole[:2] + segment + whole[2:] + other, DATA)
    assert np.abs(decoded.astype(int) - pixels).mean() < 6


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


@pytest.mark.parametrize(
    "exif",
    [
        b"junk",
        b"",
        b"II*\0\xff\xff\xff\xff",
        b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0",
        b"II*\0\x08\0\0\0\x01\0\x12\x01\x02\0\x04\0\0\0abc\0\0\0\0\0",
    ],
)
def test_a_sound_image_with_damaged_exif_data_is_decoded(exif: bytes) -> None:
    pixels = noise(3, 32)
    png = encoded(pixels)
    place = png.index(b"IDAT") - 4
    with_exif = png[:place] + chunk(b"eXIf", exif) + png[place:]
    assert np.array_equal(decode("x", with_exif, DATA), pixels)


@pytest.mark.parametrize("kind", [b"eXIf", b"tEXt", b"zTXt", b"iTXt", b"tIME"])
@pytest.mark.parametrize("before", [b"IDAT", b"IEND"])
def test_a_note_of_a_wrong_checksum_does_a_png_no_harm(kind: bytes, before: bytes) -> None:
    pixels = noise(3, 32)
    png = encoded(pixels)
    place = png.index(before) - 4
    note = bytearray(chunk(kind, b"II*\0 something that was one day right"))
    for wrong in (len(note) - 1, 12):
        note[wrong] ^= 1
        assert np.array_equal(decode("x", png[:place] + note * 2 + png[place:], DATA), pixels)


def test_a_png_header_of_a_wrong_checksum_is_refused() -> None:
    png = bytearray(encoded(noise(3, 32)))
    png[png.index(b"IHDR") + 17] ^= 1
    with pytest.raises(ImageError, match="not an image"):
        decode("x", bytes(png), DATA)


def test_exif_orientation_is_applied_to_a_large_image() -> None:
    quarters = Image.fromarray(np.array([[0, 80], [160, 240]], np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    for kind in ("PNG", "JPEG"):
        file = io.BytesIO()
        quarters.resize((2400, 2400), Image.Resampling.NEAREST).save(file, kind, exif=exif)
        decoded = decode("x", file.getvalue(), DATA)[..., 0]
        assert decoded[4, 4] > 150 and decoded[4, 28] < 10
        assert decoded[28, 4] > 230 and 70 < decoded[28, 28] < 90


def test_an_animated_png_must_be_whole() -> None:
    file = io.BytesIO()
    frames = [Image.fromarray(noise(number)) for number in range(3)]
    frames[0].save(file, "PNG", save_all=True, append_images=frames[1:])
    whole = file.getvalue()
    assert decode("x", whole, DATA).shape == (32, 32, 3)
    for cut in (whole.index(b"fdAT") + 40, len(whole) - 12, len(whole) - 1):
        with pytest.raises(ImageError, match="it is cut"):
            decode("x", whole[:cut], DATA)
