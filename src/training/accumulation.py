"""The gradients of a batch, in parts of it where memory has no room for the whole.

Parts give the gradients of the whole, up to rounding, if every image goes through the network on
its own. Batch statistics depend on the batch, and dropout and stochastic depth would draw anew.
Where several ranks train, each has a part of every batch, and their gradients are added up here.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.dropout import _DropoutNd

from src.errors import is_shortage
from src.models.network import Network, Norm
from src.training.device import Compute
from src.training.inputs import Inputs
from src.training.mixup import MixedInputs
from src.training.result import score_sums


@dataclass
class Accumulation:
    """The passes forward and back of one training, each of at most `part` images."""

    network: Network
    compute: Compute
    label_smoothing: float
    part: int

    def backward(
        self,
        inputs: Inputs,
        rows: Tensor,
        views: Tensor,
        labels: Tensor,
        images: int | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Set the gradients of a batch; its mean loss and its `score_sums`, on the device.

        images: in the whole batch, where `rows` are only this rank's.
        Raises the allocator's error if memory has no room and the network takes only whole batches.
        """
        images = len(rows) if images is None else images
        while True:
            whole = self.part >= len(rows) or not divides(self.network)
            size = len(rows) if whole else self.part
            try:
                parts = zip(
                    *(torch.split(each, size) for each in (rows, views, labels)), strict=True
                )
                passes = [self._pass(images, inputs, *part) for part in parts]
                losses, sums = zip(*passes, strict=True)
                return self._over_ranks(reduce(torch.add, losses), reduce(torch.add, sums))
            except RuntimeError as error:  # torch.OutOfMemoryError is one
                if not is_shortage(error) or size == 1 or not divides(self.network):
                    raise
            # After the block, as the error holds what the passes had in memory.
            self.network.zero_grad(set_to_none=True)
            self.part = (size + 1) // 2
            what = f"no memory for {size} images at once, so gradients add up over {self.part} each"
            print(f"warning: {what}; results differ in rounding", file=sys.stderr)

    def _pass(
        self, images: int, inputs: Inputs, rows: Tensor, views: Tensor, labels: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Add the gradients of some of a batch's `images`; their shares of its loss and sums."""
        with self.compute.autocast():
            logits = self.network(inputs.batch(rows, views), inputs.start)
        logits, targets = logits.float(), labels
        if isinstance(inputs, MixedInputs):
            targets = inputs.targets(rows, logits.shape[1])
        if len(rows) == images:
            loss = F.cross_entropy(logits, targets, label_smoothing=self.label_smoothing)
        else:  # which may be none
            loss = F.cross_entropy(
                logits, targets, reduction="sum", label_smoothing=self.label_smoothing
            )
            loss = loss / images
        loss.backward()  # type: ignore[no-untyped-call]
        loss = loss.detach()  # on the device: looking at it here would wait for it
        return loss, score_sums(logits.detach(), labels, loss * images)

    def _over_ranks(self, loss: Tensor, sums: Tensor) -> tuple[Tensor, Tensor]:
        """Add up the ranks' gradients, and their shares of the batch's loss and sums."""
        if self.compute.ranks.count > 1:
            gradients = [each.grad for each in self.network.parameters() if each.grad is not None]
            self.compute.ranks.add([*gradients, loss, sums])
        return loss, sums


def divides(network: nn.Module) -> bool:
    """Whether each image goes through the network, in its present mode, as it would alone."""
    norms = (module for module in network.modules() if isinstance(module, Norm))
    return not draws(network) and not any(norm.training for norm in norms)


def draws(network: nn.Module) -> bool:
    """Whether a module of the network, in its present mode, draws random numbers."""
    from torchvision.ops import StochasticDepth

    return any(
        module.training and isinstance(module, (_DropoutNd, StochasticDepth)) and module.p
        for module in network.modules()
    )
