"""The packed dataset: one safetensors file that every stage after `dataset` reads."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING

from src.errors import StaleInputError
from src.files import atomic

if TYPE_CHECKING:
    from torch import Tensor


class Split(IntEnum):
    """What an image is for; its number is what the file's `split` array holds."""

    train = 0
    val = 1
    test = 2


@dataclass(frozen=True)
class FaceSet:
    """Labelled, split images.

    images: (N, 3, S, S) uint8 RGB. labels: (N,) int64, an index into `subjects`.
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

    def part(self, split: Split) -> tuple[Tensor, Tensor]:
        """(M, 3, S, S) uint8 images and (M,) int64 labels of one split."""
        rows = self.rows(split)
        return self.images[rows], self.labels[rows]

    def save(self, path: Path) -> None:
        """Write atomically; the same set always gives the same bytes."""
        from safetensors.torch import save_file

        tensors = {"images": self.images, "labels": self.labels, "split": self.split}
        with atomic(path) as temporary:
            save_file(
                {name: tensor.contiguous() for name, tensor in tensors.items()},
                temporary,
                metadata={"subjects": json.dumps(self.subjects)},
            )

    @classmethod
    def load(cls, path: Path) -> FaceSet:
        """Read a file that `save` wrote; raises StaleInputError where it is not one."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="pt") as file:
                subjects = tuple(json.loads((file.metadata() or {})["subjects"]))
                tensors = {key: file.get_tensor(key) for key in ("images", "labels", "split")}
        except (OSError, SafetensorError, KeyError, ValueError):
            raise StaleInputError(
                str(path), "not a packed dataset", "run `dvc repro dataset` to make it"
            ) from None
        return cls(**tensors, subjects=subjects)
