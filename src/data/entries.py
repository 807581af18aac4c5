"""What an origin of any format yields."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from src.data.faceset import Split
from src.errors import ImageError

Pixels = NDArray[np.uint8]
Content = bytes | Pixels | ImageError


@dataclass(frozen=True, slots=True)  # there may be millions
class Entry:
    """One image of an origin.

    file: its path within the origin. split: `train` or `test`, None where the origin has no split.
    """

    file: str
    subject: str
    split: Split | None = None


@dataclass(frozen=True)
class Origin:
    """Images to pack.

    entries: every image, in the order in which `read` yields them. read: yields each entry with
    its encoded file, with its pixels, (H, W) or (H, W, 3) uint8, or with the reason why it must
    not be read; sequential, so that a compressed archive is read only once. empty: folders of
    subjects that hold no file. style: `photos`, or what has been rendered.
    """

    entries: tuple[Entry, ...]
    read: Callable[[], Iterator[tuple[Entry, Content]]]
    empty: tuple[str, ...] = ()
    style: str = "photos"
