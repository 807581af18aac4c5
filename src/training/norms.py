"""BatchNorm whose batch is that of all ranks together, as in one process.

torch's SyncBatchNorm does the same on GPUs alone, so that no test without one could hold it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from src.models.network import Norm
from src.training.ranks import Ranks


class SharedNorm(nn.BatchNorm2d):
    """BatchNorm over (N, C, H, W) of which every rank has some, or none, of the N images."""

    ranks: Ranks

    def forward(self, input: Tensor) -> Tensor:  # torch's name
        """(N, C, H, W), as `nn.BatchNorm2d`."""
        if not self.training:
            return super().forward(input)
        mean, variance, count = _moments(input.detach().to(self.weight.dtype), self.ranks)
        # Looking at the count makes a GPU wait, so a rank with more than one value does not.
        if input.numel() <= input.shape[1] and count == 1:
            what = "Expected more than 1 value per channel when training"  # as torch says it
            raise ValueError(f"{what}, got input size {input.shape} on one rank")
        if self.running_mean is not None and self.running_var is not None:
            momentum = self.momentum or 0.0
            self.running_mean.lerp_(mean, momentum)
            self.running_var.lerp_(variance * (count / (count - 1)), momentum)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        normalized = _Normalized.apply(input, self.weight, self.bias, mean, variance, count, self)
        assert isinstance(normalized, Tensor)  # noqa: S101  # `apply` has no type
        return normalized


def share_norms(network: nn.Module, ranks: Ranks) -> None:
    """Let every BatchNorm of `network` take the batch of all ranks, in place."""
    if ranks.count == 1:
        return
    for module in network.modules():
        if isinstance(module, Norm):
            module.__class__ = SharedNorm
            module.ranks = ranks  # type: ignore[assignment]


def _moments(values: Tensor, ranks: Ranks) -> tuple[Tensor, Tensor, Tensor]:
    """(C,) mean and biased variance over the values of all ranks, and () the values per channel.

    Each rank sums squares about its own mean, which are put together by the rule of Chan et al.
    (1979): sums about zero would cancel.
    """
    own = values.new_tensor([values.numel() // values.shape[1]])
    mean = values.sum((0, 2, 3)) / own.clamp(min=1)
    squares = (values - mean.view(1, -1, 1, 1)).square_().sum((0, 2, 3))
    parts = ranks.gather(torch.cat([mean, squares, own]))
    means, squares, counts = torch.split(parts, [len(mean), len(mean), 1], dim=1)
    count = counts.sum()
    mean = (counts * means).sum(0) / count
    squares = squares.sum(0) + (counts * (means - mean).square()).sum(0)
    return mean, squares / count, count


class _Normalized(torch.autograd.Function):
    """(x - mean) / deviation * weight + bias, whose gradient knows that all images make the mean.

    The gradients of weight and bias are of the rank's own images, as those of other parameters.
    """

    @staticmethod
    def forward(
        ctx: Any,
        values: Tensor,
        weight: Tensor,
        bias: Tensor,
        mean: Tensor,
        variance: Tensor,
        count: Tensor,
        norm: SharedNorm,
    ) -> Tensor:
        ctx.save_for_backward(values, weight, mean, (variance + norm.eps).rsqrt(), count)
        ctx.ranks = norm.ranks
        return F.batch_norm(values, mean, variance, weight, bias, eps=norm.eps)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        values, weight, mean, inverse, count = ctx.saved_tensors
        gradient, centred = gradient.to(mean.dtype), values - mean.view(1, -1, 1, 1)
        of_bias = gradient.sum((0, 2, 3))
        of_weight = (gradient * centred).sum((0, 2, 3)) * inverse
        sums = [of_bias.clone(), of_weight.clone()]
        ctx.ranks.add(sums)
        of_mean, of_deviation = (each / count for each in sums)
        slope = (of_deviation * inverse).view(1, -1, 1, 1)
        of_values = (gradient - of_mean.view(1, -1, 1, 1)).sub_(centred.mul_(slope))
        of_values.mul_((weight * inverse).view(1, -1, 1, 1))
        return of_values.to(values.dtype), of_weight, of_bias, *[None] * 4
