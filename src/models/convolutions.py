"""Convolutions that train fast on a processor, where oneDNN's do not.

Four kinds: depthwise ones in bfloat16, those with far more weights than output pixels, as in the
last block of a network for small images, and, of many channels in float32, 3×3 ones and those that
skip pixels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from src.models.unfolding import unfolded_conv2d
from src.models.winograd import grid, winograd_conv2d

# Outputs per weight of a filter, up to which unfolding pays. In bfloat16 more pay, since there
# oneDNN sums the gradient of the weights slowest.
UNFOLD = {torch.float64: 0.5, torch.float32: 0.5, torch.bfloat16: 2.0}
# Channels from which it pays in float32 whatever the outputs, of convolutions that skip pixels.
UNFOLD_STRIDED = 128


@dataclass(frozen=True)
class WinogradLimits:
    """From where on Winograd's filtering pays; under it, its transforms cost what it saves.

    channels: in and out, where weights train; answer_channels: where they do not. tiles: of a
    batch; pixels: outputs per tile, 16 where no tile juts out.
    """

    dtypes: tuple[torch.dtype, ...] = (torch.float32,)
    channels: int = 64
    answer_channels: int = 128
    tiles: int = 64
    pixels: float = 10


WINOGRAD = WinogradLimits()
TILES_AT_ONCE = 2048  # where nothing trains: more take memory and evict each other from the cache


def speed_up_convolutions(network: nn.Module) -> None:
    """Turn the convolutions of `network` into those below, in place, where they may serve."""
    for module in network.modules():
        if type(module) is not nn.Conv2d:
            continue
        if module.groups == module.in_channels > 1:
            module.__class__ = DepthwiseConv2d
        elif _is_plain(module):
            module.__class__ = TrainingConv2d


def speed_up_answers(network: nn.Module) -> None:
    """Let what `speed_up_convolutions` made of `network` be fast where nothing trains, too.

    Its answers then round by their batch, so it serves figures of training and cached outputs
    alone: what is predicted of an image depends on no other.
    """
    for module in network.modules():
        if isinstance(module, TrainingConv2d):
            module.answers = True


class DepthwiseConv2d(nn.Conv2d):
    """A grouped convolution that autocast leaves in float32 on the CPU.

    oneDNN has no fast backward pass for depthwise convolutions in bfloat16: with it, a training
    step of MobileNetV2 takes twice as long as in float32. Pointwise ones are faster in bfloat16.
    """

    def forward(self, input: Tensor) -> Tensor:  # torch's name
        """(N, C, H, W) to (N, D, H', W'), as `nn.Conv2d`."""
        if input.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
            return super().forward(input)
        with torch.autocast("cpu", enabled=False):
            return F.conv2d(
                input.float(),
                self.weight,
                self.bias,
                self.stride,
                self.padding,
                self.dilation,
                self.groups,
            )


@contextmanager
def torchs_convolutions() -> Iterator[None]:
    """Inside the block, every `TrainingConv2d` runs as torch's convolution does."""
    TrainingConv2d.chooses = False
    try:
        yield
    finally:
        TrainingConv2d.chooses = True


def _is_plain(module: nn.Conv2d) -> bool:
    """Whether it is a plain square convolution, of more than one pixel and without a bias."""
    size = module.kernel_size[0]
    return (
        module.kernel_size == (size, size)
        and size > 1
        and size % 2 == 1
        and module.padding == (size // 2, size // 2)
        and module.padding_mode == "zeros"
        and module.stride[0] == module.stride[1]
        and module.dilation == (1, 1)
        and module.groups == 1
        and module.bias is None
    )


class TrainingConv2d(nn.Conv2d):
    """A convolution that trains in the way that is fastest for its shapes.

    answers: whether it takes that way where nothing trains, too.
    """

    chooses: ClassVar[bool] = True
    answers: bool = False

    def forward(self, input: Tensor) -> Tensor:  # torch's name
        """(N, C, H, W) to (N, D, H', W'), as `nn.Conv2d`."""
        trains = torch.is_grad_enabled() and self.weight.requires_grad
        if not (self.chooses and (trains or self.answers)) or input.device.type != "cpu":
            return super().forward(input)
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else input.dtype
        fewest = WINOGRAD.channels if trains else WINOGRAD.answer_channels
        if self._winograd_pays(input, dtype, fewest):
            with torch.autocast("cpu", enabled=False):
                images, weight = input.to(dtype), self.weight.to(dtype)
                return winograd_conv2d(images, weight) if trains else self._answer(images, weight)
        if trains and self._unfolding_pays(input, dtype):
            with torch.autocast("cpu", enabled=False):
                return unfolded_conv2d(input.to(dtype), self.weight.to(dtype), self.stride[0])
        return super().forward(input)

    def _answer(self, images: Tensor, weight: Tensor) -> Tensor:
        """By Winograd's filtering, of at most `TILES_AT_ONCE`."""
        at_once = max(1, TILES_AT_ONCE // math.prod(grid(*images.shape[2:])))
        parts = torch.split(images, at_once)
        outputs = torch.cat([winograd_conv2d(part, weight) for part in parts])
        return outputs if self.bias is None else outputs.add_(self.bias[:, None, None])

    def _winograd_pays(self, input: Tensor, dtype: torch.dtype, fewest: int) -> bool:
        images, channels, height, width = input.shape
        rows, columns = grid(height, width)
        return (
            dtype in WINOGRAD.dtypes
            and (self.kernel_size, self.stride) == ((3, 3), (1, 1))
            and min(channels, self.out_channels) >= fewest
            and images * rows * columns >= WINOGRAD.tiles
            and height * width >= WINOGRAD.pixels * rows * columns
        )

    def _unfolding_pays(self, input: Tensor, dtype: torch.dtype) -> bool:
        images, channels, height, width = input.shape
        step = self.stride[0]
        if dtype == torch.float32 and step > 1 and channels >= UNFOLD_STRIDED:
            return True
        outputs = images * -(-height // step) * -(-width // step)
        return outputs <= UNFOLD.get(dtype, 0.0) * self.weight[0].numel()
