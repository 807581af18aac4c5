"""Decoded images on disk, so that an origin of any number of them is packed in the same memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from src.data.entries import Pixels
from src.files import filling, unnamed

if TYPE_CHECKING:
    from torch import Tensor

CHANNELS = 3


class SpooledImages:
    """(S, S, 3) uint8 images in a file of no name, read one by one.

    `rows`: where in the file each image is.
    """

    def __init__(self, size: int) -> None:
        self.size, self.rows = size, np.empty(0, np.int64)
        self._file = unnamed()

    @classmethod
    def of(cls, size: int, images: Iterable[Pixels]) -> SpooledImages:
        """Write all of `images`, each (size, size, 3); raises OutputError if the disk is full."""
        spooled, count = cls(size), 0
        for image in images:
            with filling("images"):
                spooled._file.write(image.tobytes())
            count += 1
        with filling("images"):
            spooled._file.flush()
        spooled.rows = np.arange(count)
        return spooled

    def chosen(self, rows: Sequence[int]) -> SpooledImages:
        """Some of the images, in that order, in the same file."""
        some = object.__new__(SpooledImages)
        some.size, some._file = self.size, self._file
        some.rows = self.rows[np.array(rows, dtype=np.int64)]
        return some

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Pixels]:
        shape = (self.size, self.size, CHANNELS)
        length = self.size**2 * CHANNELS
        for row in self.rows.tolist():
            self._file.seek(row * length)
            yield np.frombuffer(self._file.read(length), np.uint8).reshape(shape)

    def tensor(self) -> Tensor:
        """(N, 3, S, S) uint8, mapped from another file of no name that is in this order.

        Raises OutputError if the disk is full.
        """
        import torch

        shape = (len(self), CHANNELS, self.size, self.size)
        if not len(self):
            return torch.empty(shape, dtype=torch.uint8)
        with filling("images"), unnamed() as file:
            for image in self:
                file.write(image.transpose(2, 0, 1).tobytes())
            file.flush()
            return torch.from_numpy(np.memmap(file, np.uint8, "r+", shape=shape))
