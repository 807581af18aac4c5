"""Depthwise convolutions that train fast on a processor, where bfloat16 ones do not.

oneDNN has no fast backward pass for depthwise convolutions in bfloat16: with it, a training step of
MobileNetV2 takes twice as long as in float32. Pointwise convolutions are faster in bfloat16.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class DepthwiseConv2d(nn.Conv2d):
    """A grouped convolution that autocast leaves in float32 on the CPU."""

    def forward(self, input: Tensor) -> Tensor:  # torch's name
        """(N, C, H, W) to (N, D, H', W'), as `nn.Conv2d`."""
        if input.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
            return super().forward(input)
        with torch.autocast("cpu", enabled=False):
            return functional.conv2d(
                input.float(),
                self.weight,
                self.bias,
                self.stride,
                self.padding,
                self.dilation,
                self.groups,
            )


def keep_depthwise_in_float32(network: nn.Module) -> None:
    """Turn the grouped convolutions of `network` into `DepthwiseConv2d`, in place."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.groups == module.in_channels > 1:
            module.__class__ = DepthwiseConv2d
