"""Decoding image files to square RGB pixels."""

from __future__ import annotations

import io
import warnings
from contextlib import nullcontext
from threading import Lock

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from src.config import Data
from src.data.entries import Content, Pixels
from src.data.formats import check, without_broken_notes
from src.errors import ImageError

# The size is checked below before an image is decoded, so Pillow's own warning adds nothing.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
# Broken EXIF data do no harm to an image, and need no mention.
warnings.filterwarnings("ignore", module=r"PIL\.TiffImagePlugin", category=UserWarning)

FORMATS = ("JPEG", "PNG", "PPM", "BMP", "WEBP")  # the only ones parsed; PPM includes PGM
MIN_SIDE = 8  # pixels; a face cannot be recognised in fewer
MAX_SIDE = 16_384  # pixels
LARGE = 2**22  # pixels; more are decoded one image at a time
STRIP = 2**20  # pixels of a large image that are converted at a time
SPARE = 4  # times `data.image_size` at least, to which a large image is reduced by averaging
ORIENTATIONS = range(2, 9)  # of EXIF, but for 1, which is upright
# What Pillow would write anew of an image that it turned, which broken EXIF data do not allow.
NOTES = ("exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp")
ONE_AT_A_TIME = Lock()
MEND = "replace or remove it"


def decode(file: str, content: Content, data: Data) -> Pixels:
    """One image as (S, S, 3) uint8 RGB with S = `data.image_size`.

    EXIF orientation is applied unless it cannot be read, transparency replaced by white, 16-bit
    grey reduced to 8 bits, and the image made square as `data.fit` says, with Pillow's antialiased
    bicubic filter. Threads decode large images one at a time. Raises ImageError for a file that is
    not an image, is broken, too small, too slow to decode, or larger than `data.max_pixels`, most
    of it checked before decoding.
    """
    if isinstance(content, ImageError):
        raise content
    if not isinstance(content, bytes):
        return square(Image.fromarray(content), data)
    content = without_broken_notes(content)
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            _check_size(file, image, data.max_pixels)
            check(file, content, image)
            large = image.width * image.height > LARGE
            with ONE_AT_A_TIME if large else nullcontext():
                image.draft(None, (2 * data.image_size, 2 * data.image_size))
                image.load()
                upright = _upright(_reduced(image, data), image)
                image.close()  # gives its pixels back before another thread decodes
            return square(upright, data)
    except (ImageError, MemoryError):  # want of memory is no fault of the image's
        raise
    except Image.DecompressionBombError:
        raise ImageError(file, "too large to be decoded safely", MEND) from None
    except UnidentifiedImageError:
        what = f"not an image in a known format ({', '.join(FORMATS)})"
        raise ImageError(file, what, MEND) from None
    except Exception as error:  # Pillow's decoders raise nearly anything on broken bytes
        raise ImageError(file, f"a broken image ({error})", MEND) from None


def square(image: Image.Image, data: Data) -> Pixels:
    """An image of any shape as (S, S, 3) uint8 RGB, made square as `data.fit` says."""
    size, image = (data.image_size, data.image_size), image.convert("RGB")
    match data.fit:
        case "crop":
            image = ImageOps.fit(image, size, Image.Resampling.BICUBIC)
        case "pad":
            image = ImageOps.pad(image, size, Image.Resampling.BICUBIC)
        case "stretch":
            image = image.resize(size, Image.Resampling.BICUBIC)
    return np.asarray(image)


def _check_size(file: str, image: Image.Image, max_pixels: int) -> None:
    width, height = image.size
    if min(width, height) < MIN_SIDE:
        raise ImageError(file, f"only {width}x{height} pixels, less than {MIN_SIDE}", MEND)
    if max(width, height) > MAX_SIDE or width * height > max_pixels:
        what = f"{width}x{height} pixels, more than data.max_pixels ({max_pixels})"
        if max(width, height) > MAX_SIDE:
            what = f"{width}x{height} pixels, a side longer than {MAX_SIDE}"
        raise ImageError(file, what, "make it smaller or remove it")


def _upright(image: Image.Image, original: Image.Image) -> Image.Image:
    """`image` turned as the EXIF data of `original` say."""
    # Of a sound image with broken EXIF data Pillow raises nearly anything.
    try:
        orientation = original.getexif().get(ExifTags.Base.Orientation)
    except Exception:
        return image
    if orientation in ORIENTATIONS:
        for note in NOTES:
            image.info.pop(note, None)
        image.getexif()[ExifTags.Base.Orientation] = orientation
        ImageOps.exif_transpose(image, in_place=True)
    return image


def _reduced(image: Image.Image, data: Data) -> Image.Image:
    """`image` as RGB, a large one converted in strips and made smaller, but far larger than needed.

    At its full size and in several modes at once it would take a gigabyte.
    """
    width, height = image.size
    if width * height <= LARGE:
        return _rgb(image)
    factor = max(1, min(width, height) // (SPARE * data.image_size))
    rows = factor * max(1, STRIP // (width * factor))
    made = Image.new("RGB", (-(-width // factor), -(-height // factor)))
    for top in range(0, height, rows):
        strip = image.crop((0, top, width, min(top + rows, height)))
        made.paste(_rgb(strip).reduce(factor), (0, top // factor))
    return made


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits of grey, which convert() would clip at 255
        grey = np.asarray(image, dtype=np.float64).clip(0, 65535) / 257
        return Image.fromarray(grey.round().astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")
