"""The gradients of a batch, in parts of it where memory has no room for the whole.

Parts give the gradients of the whole, up to rounding, if every image goes through the network on
its own. Batch statistics depend on the batch, and dropout and stochastic depth would draw anew.
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
from src.training.result import score_sums


@dataclass
class Accumulation:
    """The passes forward and back of one training, each of at most `part` images."""

    network: Network
    compute: Compute
    label_smoothing: float
    part: int

    def backward(
        self, inputs: Inputs, rows: Tensor, views: Tensor, labels: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Set the gradients of a batch; its mean loss and its `score_sums`, on the device.

        Raises the allocator's error if memory has no room and the network takes only whole batches.
        """
        while True:
            whole = self.part >= len(rows) or not divides(self.network)
            size = len(rows) if whole else self.part
            try:
                parts = zip(
                    *(torch.split(each, size) for each in (rows, views, labels)), strict=True
                )
                passes = [self._pass(len(rows), inputs, *part) for part in parts]
                losses, sums = zip(*passes, strict=True)
                return reduce(torch.add, losses), reduce(torch.add, sums)
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
        logits = logits.float()
        loss = F.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)
        if len(rows) < images:
            loss = loss * (len(rows) / images)
        loss.backward()  # type: ignore[no-untyped-call]
        loss = loss.detach()  # on the device: looking at it here would wait for it
        return loss, score_sums(logits.detach(), labels, loss * images)


def divides(network: nn.Module) -> bool:
    """Whether each image goes through the network, in its present mode, as it would alone."""
    from torchvision.ops import StochasticDepth

    draws = (_DropoutNd, StochasticDepth)
    return not any(
        module.training and (isinstance(module, Norm) or (isinstance(module, draws) and module.p))
        for module in network.modules()
    )
