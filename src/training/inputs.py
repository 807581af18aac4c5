"""Sources of training batches: images, or cached outputs of a frozen prefix."""

from __future__ import annotations

from dataclasses import dataclass
from io import RawIOBase
from typing import TYPE_CHECKING, Any, Protocol

import torch
from numpy.typing import NDArray
from torch import Tensor

from src.models.network import ModelSpec, Network, normalize

if TYPE_CHECKING:
    from src.data.faceset import MappedImages


class Inputs(Protocol):
    """Indexable by row and view; `start` is the block that its batches go into."""

    @property
    def start(self) -> int: ...

    def __len__(self) -> int: ...

    def batch(self, rows: Tensor, views: Tensor) -> Tensor:
        """The inputs of some rows; view 1 is the horizontally flipped one."""
        ...


@dataclass(frozen=True)
class ImageInputs:
    """(N, 3, S, S) uint8 images on the device, flipped and normalised as they are drawn."""

    images: Tensor | MappedImages
    spec: ModelSpec
    start: int = 0

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, rows: Tensor, views: Tensor) -> Tensor:
        """(B, 3, H, H) float32, channels last, where H is `spec.input_size`."""
        images = self.images[rows]
        flipped = views.bool().view(-1, 1, 1, 1)
        return normalize(torch.where(flipped, images.flip(3), images), self.spec)


@dataclass(frozen=True)
class PrefixOutputs:
    """Outputs of blocks before `start`, which do not train, computed anew for every batch."""

    inputs: Inputs
    network: Network
    start: int

    def __len__(self) -> int:
        return len(self.inputs)

    @torch.no_grad()
    def batch(self, rows: Tensor, views: Tensor) -> Tensor:
        """(B, C, H, W) or (B, D)."""
        return self.network.run(self.inputs.batch(rows, views), self.inputs.start, self.start)


@dataclass(frozen=True)
class Activations:
    """Outputs of blocks before `start`: (views, N, H, W, C) maps or (views, N, D) features."""

    values: Tensor
    start: int

    def __len__(self) -> int:
        return self.values.shape[1]

    def put(self, view: int, first: int, part: Tensor) -> None:
        """Fill the rows from `first` on."""
        self.values[view, first : first + len(part)] = part

    def batch(self, rows: Tensor, views: Tensor) -> Tensor:
        """(B, C, H, W), channels last, or (B, D)."""
        return _channels_second(self.values.flatten(0, 1)[views * len(self) + rows])


@dataclass(frozen=True)
class ActivationsOnDisk:
    """`Activations` in an unbuffered file, of which only a batch is read into memory.

    The operating system caches the file in memory that it can reclaim at any time.
    """

    file: RawIOBase
    shape: tuple[int, ...]
    dtype: torch.dtype
    start: int

    def __len__(self) -> int:
        return self.shape[1]

    def put(self, view: int, first: int, part: Tensor) -> None:
        """Fill the rows from `first` on; raises OSError where the disk is full."""
        content = _bytes(part.contiguous()).data.cast("B")
        self.file.seek((view * len(self) + first) * (len(content) // len(part)))
        while content:
            content = content[self.file.write(content) :]

    def batch(self, rows: Tensor, views: Tensor) -> Tensor:
        """(B, C, H, W), channels last, or (B, D)."""
        values = torch.empty((len(rows), *self.shape[2:]), dtype=self.dtype)
        for place, row in zip((views * len(self) + rows).tolist(), _bytes(values), strict=True):
            self.file.seek(place * row.nbytes)
            if self.file.readinto(row) != row.nbytes:
                raise OSError("a cache of activations is shorter than what was written to it")
        return _channels_second(values)


def _bytes(values: Tensor) -> NDArray[Any]:
    """(N, bytes) uint8 of contiguous values, sharing their memory."""
    array: NDArray[Any] = values.flatten(1).view(torch.uint8).numpy()
    return array


def _channels_second(values: Tensor) -> Tensor:
    return values.permute(0, 3, 1, 2) if values.ndim == 4 else values
