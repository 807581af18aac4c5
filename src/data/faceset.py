"""The packed dataset: one safetensors file that every stage after `dataset` reads."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING

from src.errors import StaleInputError
from src.tensors import MALFORMED, load_tensors, save_tensors

if TYPE_CHECKING:
    from torch import Tensor
    from torch import device as Device


class Split(IntEnum):
    """What an image is used for; the values are those of `FaceSet.split`."""

    train = 0
    val = 1
    test = 2


@dataclass(frozen=True)
class MappedImages:
    """Some rows of packed images, of which only those that are indexed are read into memory."""

    packed: Tensor
    rows: Tensor

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, wanted: Tensor | slice) -> Tensor:
        return self.packed[self.rows[wanted]]

    @property
    def shape(self) -> tuple[int, ...]:
        """(M, 3, S, S)."""
        return (len(self.rows), *self.packed.shape[1:])

    @property
    def device(self) -> Device:
        """That of the packed images."""
        return self.packed.device

    def to(self, target: Device) -> MappedImages | Tensor:
        """Themselves on the CPU; on another device a copy, all of it in its memory."""
        return self if target == self.packed.device else self[:].to(target)


@dataclass(frozen=True)
class FaceSet:
    """Images with their labels and splits.

    images: (N, 3, S, S) uint8 RGB; as loaded they are mapped from the file and read as needed.
    labels: (N,) int64, an index into `subjects`.
    split: (N,) uint8, a `Split`. Rows are in manifest order.
    """

    images: Tensor
    labels: Tensor
    split: Tensor
    subjects: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def rows(self, split: Split) -> Tensor:
        """(M,) int64 row numbers of one split, ascending."""
        return (self.split == split.value).nonzero().flatten()

    @property
    def training_labels(self) -> Tensor:
        """(N,) int64 labels of the training images."""
        return self.labels[self.rows(Split.train)]

    def part(self, split: Split) -> tuple[Tensor, Tensor]:
        """(M, 3, S, S) uint8 images and (M,) int64 labels of one split."""
        rows = self.rows(split)
        return self.images[rows], self.labels[rows]

    def mapped(self, split: Split) -> tuple[MappedImages, Tensor]:
        """As `part`, without a copy of the images."""
        rows = self.rows(split)
        return MappedImages(self.images, rows), self.labels[rows]

    def digest(self, rows: Tensor) -> str:
        """sha256 of the pixels and sizes of some rows' images, in their order."""
        found = hashlib.sha256(repr((len(rows), *self.images.shape[1:])).encode())
        for start in range(0, len(rows), 256):
            found.update(self.images[rows[start : start + 256]].numpy().tobytes())
        return found.hexdigest()

    def save(self, path: Path) -> None:
        """Write atomically; equal sets give equal bytes."""
        tensors = {"images": self.images, "labels": self.labels, "split": self.split}
        save_tensors(path, tensors, subjects=self.subjects)

    @classmethod
    def load(cls, path: Path) -> FaceSet:
        """Read a file that `save` wrote; raises StaleInputError where it is not one."""
        try:
            tensors, metadata = load_tensors(path)
            subjects = tuple(json.loads(metadata["subjects"]))
            return cls(tensors["images"], tensors["labels"], tensors["split"], subjects)
        except MALFORMED:
            raise StaleInputError(
                str(path), "not a packed dataset", "run `dvc repro dataset` to make it"
            ) from None
