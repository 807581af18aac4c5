"""What a training loop draws its batches from: pictures, or cached outputs of a frozen prefix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from src.models.network import ModelSpec, normalize


class Inputs(Protocol):
    """Indexable by row and view; `start` is the block that its batches go into."""

    @property
    def start(self) -> int: ...

    def __len__(self) -> int: ...

    def batch(self, rows: Tensor, views: Tensor) -> Tensor:
        """The inputs of some rows; view 1 is the horizontally flipped one."""
        ...


@dataclass(frozen=True)
class Pictures:
    """(N, 3, S, S) uint8 images on the device, flipped and normalised as they are drawn."""

    images: Tensor
    spec: ModelSpec
    start: int = 0

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, rows: Tensor, views: Tensor) -> Tensor:
        """(B, 3, S, S) float32, channels last."""
        images = self.images[rows]
        flipped = views.bool().view(-1, 1, 1, 1)
        return normalize(torch.where(flipped, images.flip(3), images), self.spec)


@dataclass(frozen=True)
class Activations:
    """Outputs of blocks before `start`: (views, N, H, W, C) maps or (views, N, D) features."""

    values: Tensor
    start: int

    def __len__(self) -> int:
        return self.values.shape[1]

    def batch(self, rows: Tensor, views: Tensor) -> Tensor:
        """(B, C, H, W), channels last, or (B, D)."""
        values = self.values.flatten(0, 1)[views * len(self) + rows]
        return values.permute(0, 3, 1, 2) if values.ndim == 4 else values
