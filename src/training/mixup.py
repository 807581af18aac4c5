"""Mixup: training on weighted means of two images, and of their labels (Zhang et al., 2018).

What is mixed are the inputs of the first block that trains, be they cached or not: images, or the
outputs of frozen blocks, where it is manifold mixup (Verma et al., 2019).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from src.training.inputs import Inputs
from src.training.order import Purpose, mixed


@dataclass(frozen=True)
class MixedInputs:
    """Inputs of N images, each mixed with that of a partner, for one epoch.

    labels: (N,) int64, of the images. partners: (N,) int64 row numbers; partner_views: (N,) int64.
    shares: (N,) float32, each image's own, at least a half.
    """

    inputs: Inputs
    labels: Tensor
    partners: Tensor
    partner_views: Tensor
    shares: Tensor

    @property
    def start(self) -> int:
        """The block that batches go into."""
        return self.inputs.start

    def __len__(self) -> int:
        return len(self.inputs)

    def batch(self, rows: Tensor, views: Tensor) -> Tensor:
        """As the inputs' own, mixed."""
        own = self.inputs.batch(rows, views)
        others = self.inputs.batch(self.partners[rows], self.partner_views[rows])
        shares = self.shares[rows].to(own.dtype).view(-1, *[1] * (own.ndim - 1))
        return others.lerp(own, shares)

    def targets(self, rows: Tensor, classes: int) -> Tensor:
        """(B, classes) float32 probabilities of some rows: the label's share, and the partner's."""
        shares, subjects = self.shares[rows, None], torch.arange(classes, device=rows.device)
        own, others = (self.labels[each, None] == subjects for each in (rows, self.partners[rows]))
        return shares * own + (1 - shares) * others


def mix(
    inputs: Inputs, labels: Tensor, alpha: float, flip: bool, seed: int, epoch: int
) -> MixedInputs:
    """`inputs` mixed in pairs for `epoch`.

    Partners are a random permutation of all images. Shares are drawn from Beta(alpha, alpha) for
    each image, and the larger of the two is its own: which of a pair is which makes no difference.
    """
    images, device = len(labels), labels.device
    draw = np.random.default_rng(mixed(seed, Purpose.pairs, epoch))
    partners = torch.from_numpy(draw.permutation(images))
    views = torch.from_numpy(draw.integers(2 if flip else 1, size=images))
    shares = torch.from_numpy(draw.beta(alpha, alpha, images).astype(np.float32))
    shares = torch.maximum(shares, 1 - shares)
    return MixedInputs(inputs, labels, *(each.to(device) for each in (partners, views, shares)))
