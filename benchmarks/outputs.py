"""Stored outputs of a frozen prefix, which a plain loop can train on instead of images."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class Batches(Protocol):
    """Inputs and labels, batch by batch, each time in a new order or always in the same."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]: ...


@dataclass(frozen=True)
class OutputBatches:
    """Batches of stored outputs, indexed where they lie; one view of each image is drawn."""

    stored: StoredOutputs
    size: int
    shuffle: bool

    def __len__(self) -> int:
        return math.ceil(len(self.stored.labels) / self.size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        outputs, labels = self.stored.outputs, self.stored.labels
        images, views = outputs.shape[:2]
        order = torch.randperm(images) if self.shuffle else torch.arange(images)
        view = torch.randint(views, (images,))
        drawn = torch.stack((order, view)).to(labels.device)
        for row, view in torch.split(drawn, self.size, 1):
            yield outputs[row, view], labels[row]


@dataclass(frozen=True)
class StoredOutputs:
    """Outputs of a frozen prefix for N images, (N, views, ...), and their labels."""

    outputs: Tensor
    labels: Tensor

    def batches(self, size: int, *, shuffle: bool = False) -> OutputBatches:
        """All images in batches of `size`."""
        return OutputBatches(self, size, shuffle)
