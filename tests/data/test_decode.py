"""Images in common formats become RGB squares; anything else is refused with a reason."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from src.data.decode import decode
from src.errors import ImageError
from tests.data.conftest import encoded, noise, settings

DATA = settings("origin")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "WEBP", "PPM"])
def test_every_file_format_is_decoded_to_the_image_it_holds(kind: str) -> None:
    pixels = noise(1, 32)
    options = {"lossless": True} if kind == "WEBP" else {"quality": 95} if kind == "JPEG" else {}
    decoded = decode("x", encoded(pixels, kind, **options), DATA)
    assert decoded.shape == (32, 32, 3) and decoded.dtype == np.uint8
    assert np.abs(decoded.astype(int) - pixels).mean() < (6 if kind == "JPEG" else 1)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "1", "CMYK", "I;16"])
def test_every_colour_mode_is_converted_to_rgb(mode: str) -> None:
    grey = noise(2, 32)[..., 0]
    if mode == "I;16":
        image = Image.fromarray(grey.astype(np.uint16) * 257)
    else:
        image = Image.fromarray(grey).convert("RGB").convert(mode)
    file = io.BytesIO()
    image.save(file, "JPEG" if mode == "CMYK" else "PNG")
    decoded = decode("x", file.getvalue(), DATA)
    assert decoded.shape == (32, 32, 3)
    if mode in ("L", "RGBA", "LA", "I;16"):
        assert np.abs(decoded[..., 0].astype(int) - grey).max() <= 1


def test_a_pgm_of_another_shape_is_cropped_padded_or_stretched() -> None:
    grey = np.zeros((112, 92), np.uint8)
    grey[:, 46:] = 255
    grey[:10] = 128
    file = io.BytesIO()
    Image.fromarray(grey).save(file, "PPM")
    by_fit = {
        fit: decode("x.pgm", file.getvalue(), settings("origin", fit=fit))
        for fit in ("crop", "pad", "stretch")
    }
    assert all(pixels.shape == (32, 32, 3) for pixels in by_fit.values())
    assert abs(int(by_fit["stretch"][0, 0, 0]) - 128) < 20
    assert by_fit["crop"][0, 2, 0] < 60
    assert (by_fit["pad"][:, 0] == by_fit["pad"][0, 0]).all()


def test_exif_orientation_is_applied() -> None:
    pixels = noise(3, 32)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 270 degrees to see it upright
    decoded = decode("x", encoded(pixels, "PNG", exif=exif), DATA)
    assert np.array_equal(decoded, np.rot90(pixels, 3))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(
    "place",  # a tag of it, its type, how many values, and these
    [
        (5, 2, 2, b"0"),  # which side of the sea's level, as text
        (2, 2, 9, b"48 N 16 E"),  # the latitude, as text
        (6, 10, 1, struct.pack("<ii", -1, 3)),  # a negative altitude
    ],
)
def test_an_image_whose_exif_could_not_be_written_again_is_turned_as_it_says(
    place: tuple[int, int, int, bytes], kind: str
) -> None:
    *head, value = place
    held = value.ljust(4, b"\0") if len(value) <= 4 else struct.pack("<I", 56)  # or where it is
    exif = b"Exif\0\0II*\0" + struct.pack("<I3H2I2H3I", 8, 2, 0x112, 3, 1, 6, 0x8825, 4, 1, 38, 0)
    exif += struct.pack("<3HI", 1, *head) + held + bytes(4) + value
    flat = decode("x", encoded(noise(3, 32), kind), DATA)
    decoded = decode("x", encoded(noise(3, 32), kind, exif=exif), DATA)
    assert np.array_equal(decoded, np.rot90(flat, 3))


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_truncated_file_is_refused(kind: str) -> None:
    whole = encoded(noise(4, 200), kind)
    with pytest.raises(ImageError, match=r"x\.jpg: a broken image"):
        decode("x.jpg", whole[: len(whole) // 2], DATA)


def png_header(width: int, height: int) -> bytes:
    """A PNG whose header claims a size and whose data is almost empty."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    idat = chunk(b"IDAT", zlib.compress(b"\0" * 100))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + idat + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("width", "height", "said"),
    [
        (1, 1, "only 1x1 pixels"),
        (400, 3, "only 400x3 pixels"),
        (20_000, 20, "a side longer than"),
        (20_000, 20_000, "too large to be decoded safely"),
        (10_000, 10_000, "more than data.max_pixels"),
        (2**31 - 1, 2**31 - 1, "x.png"),
    ],
)
def test_an_image_of_absurd_size_is_refused_before_it_is_decoded(
    width: int, height: int, said: str
) -> None:
    with pytest.raises(ImageError, match=said) as caught:
        decode("x.png", png_header(width, height), DATA)
    assert "\n" not in str(caught.value)


def test_pillow_refuses_no_image_that_max_pixels_may_allow() -> None:
    most = settings("origin", max_pixels=178_956_970)
    with pytest.raises(ImageError, match=r"a broken image"):  # it has a header only
        decode("x.png", png_header(16_270, 10_999), most)
    assert 16_270 * 10_999 <= most.max_pixels < 16_271 * 11_000
    with pytest.raises(ImageError, match="too large to be decoded safely"):
        decode("x.png", png_header(16_271, 11_000), most)


@given(content=st.binary(max_size=300))
def test_junk_is_refused_on_one_line(content: bytes) -> None:
    with pytest.raises(ImageError) as caught:
        decode("x", content, DATA)
    assert "\n" not in str(caught.value)
