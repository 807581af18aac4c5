"""What every origin of pictures yields, whether archive, folder or recipe."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from src.data.faceset import Split

Pixels = NDArray[np.uint8]
Content = bytes | Pixels


@dataclass(frozen=True)
class Entry:
    """One picture's place: its file within the origin, whose face it is, and the split it was
    given there (`train` or `test`; None where the origin has no split)."""

    file: str
    subject: str
    given: Split | None = None


@dataclass(frozen=True)
class Origin:
    """Pictures to pack.

    entries: every picture, in the order `read` yields them. empty: folders of subjects without a
    single file. read: yields each entry with its encoded file, or with pixels (H, W) or (H, W, 3)
    uint8; sequential, so that a compressed archive is gone through once.
    """

    entries: tuple[Entry, ...]
    read: Callable[[], Iterator[tuple[Entry, Content]]]
    empty: tuple[str, ...] = ()
