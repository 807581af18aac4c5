"""Images that a client sends to a served model: base64 of image files, or pixels."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from src.config import Data
from src.data.decode import decode
from src.data.entries import Pixels
from src.errors import ImageError

MOST = 256  # images of a request, which are answered together
WHERE = "inputs"  # the key of a request that images come under
MEND = "send a list of JPEG or PNG files in base64, or of pixels"


def received(given: object, size: int, fit: Literal["crop", "stretch", "pad"]) -> NDArray[np.uint8]:
    """What a client sent, as (N, S, S, 3) uint8 RGB with S = `size`.

    `given` is a list of image files, as bytes or as base64 with or without the head of a data URL,
    which are decoded as `src.data.decode` does and made square as `fit` says; or N × S × S × 3
    whole numbers from 0 to 255, as nested lists or as an array of uint8. Raises ImageError.
    """
    if not isinstance(given, list | np.ndarray):
        raise ImageError(WHERE, f"not a list of images but {_kind(given)}", MEND)
    if len(given) == 0 or len(given) > MOST:
        raise ImageError(WHERE, f"{len(given)} images", f"send 1 to {MOST} in a request")
    if isinstance(given, list) and any(isinstance(each, str | bytes) for each in given):
        return _decoded(given, Data(origin="-", image_size=size, fit=fit))
    return _pixels(given, size)


def _decoded(given: Sequence[object], data: Data) -> NDArray[np.uint8]:
    return np.stack([_one(f"image {place}", each, data) for place, each in enumerate(given)])


def _one(where: str, given: object, data: Data) -> Pixels:
    if isinstance(given, str):
        given = _bytes(where, given, data.max_bytes)
    if not isinstance(given, bytes):
        raise ImageError(where, f"{_kind(given)} among image files", MEND)
    if len(given) > data.max_bytes:
        raise ImageError(where, f"more than {data.max_bytes} bytes", "make it smaller")
    return decode(where, given, data)


def _bytes(where: str, text: str, most: int) -> bytes:
    head, comma, rest = text[:100].partition(",")
    if comma and head.startswith("data:image/") and head.endswith(";base64"):
        text = rest + text[100:]
    if len(text) > most * 3 // 2:  # 4/3, with room for line breaks
        raise ImageError(where, f"more than {most} bytes", "make it smaller")
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise ImageError(where, "not base64", MEND) from None


def _pixels(given: Sequence[object] | NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    wanted = f"{size}x{size}x3 whole numbers from 0 to 255"
    try:
        pixels = np.asarray(given)
    except ValueError:  # rows of several lengths
        raise ImageError(WHERE, f"not of one shape each, {wanted}", MEND) from None
    if pixels.shape[1:] != (size, size, 3):
        shape = "x".join(map(str, pixels.shape[1:])) or "single values"
        raise ImageError(WHERE, f"images of {shape}, not of {wanted}", MEND)
    known = pixels.dtype == np.uint8
    if not known and isinstance(given, np.ndarray):
        raise ImageError(WHERE, f"an array of {pixels.dtype}, not uint8", MEND)
    if not known and (pixels.dtype.kind != "i" or pixels.min() < 0 or pixels.max() > 255):
        raise ImageError(WHERE, f"pixels that are not {wanted}", MEND)
    return pixels.astype(np.uint8, copy=False)


def _kind(given: object) -> str:
    return f"of type {type(given).__name__}"
