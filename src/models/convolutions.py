"""Convolutions that train fast on a processor, where oneDNN's backward passes do not.

Two kinds: depthwise ones in bfloat16, and those with far more weights than output pixels, as in the
last block of a network for small images.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.grad import conv2d_input

# Outputs per weight of a filter, up to which unfolding pays. In bfloat16 more pay, since there
# oneDNN sums the gradient of the weights slowest.
UNFOLD = {torch.float64: 0.5, torch.float32: 0.5, torch.bfloat16: 2.0}


def speed_up_convolutions(network: nn.Module) -> None:
    """Turn the convolutions of `network` into those below, in place, where they may serve."""
    for module in network.modules():
        if type(module) is not nn.Conv2d:
            continue
        if module.groups == module.in_channels > 1:
            module.__class__ = DepthwiseConv2d
        elif _can_unfold(module):
            module.__class__ = UnfoldingConv2d


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


def _can_unfold(module: nn.Conv2d) -> bool:
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


class UnfoldingConv2d(nn.Conv2d):
    """A convolution that trains as a matrix product where its outputs are few.

    The product of unfolded inputs and filters (Chellapilla et al., 2006, High performance
    convolutional neural networks for document processing) streams the weights once. oneDNN copies
    them into layouts of its own, for each pass, and sums their gradient at a third of the speed.
    """

    def forward(self, input: Tensor) -> Tensor:  # torch's name
        """(N, C, H, W) to (N, D, H', W'), as `nn.Conv2d`."""
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else input.dtype
        if not self._pays(input, dtype):
            return super().forward(input)
        with torch.autocast("cpu", enabled=False):
            unfolded = _Unfolded.apply(input.to(dtype), self.weight.to(dtype), self.stride[0])
        assert isinstance(unfolded, Tensor)  # noqa: S101  # `apply` has no type
        return unfolded

    def _pays(self, input: Tensor, dtype: torch.dtype) -> bool:
        if input.device.type != "cpu" or not (
            torch.is_grad_enabled() and self.weight.requires_grad
        ):
            return False
        images, _, height, width = input.shape
        step = self.stride[0]
        outputs = images * -(-height // step) * -(-width // step)
        return outputs <= UNFOLD.get(dtype, 0.0) * self.weight[0].numel()


class _Unfolded(torch.autograd.Function):
    """The product: (N, C, H, W) by (D, C, K, K), all in memory as channels-last."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor, stride: int) -> Tensor:
        count, channels, height, width = images.shape
        filters, _, size, _ = weight.shape
        border = size // 2
        padded = F.pad(images.permute(0, 2, 3, 1), (0, 0, border, border, border, border))
        per_image, per_row, per_pixel, per_channel = padded.stride()
        rows, columns = -(-height // stride), -(-width // stride)
        windows = padded.as_strided(
            (count, rows, columns, size, size, channels),
            (per_image, stride * per_row, stride * per_pixel, per_row, per_pixel, per_channel),
        )
        unfolded = windows.reshape(count * rows * columns, size * size * channels)
        product = unfolded @ weight.permute(0, 2, 3, 1).reshape(filters, -1).t()
        ctx.save_for_backward(images, unfolded, weight)
        ctx.stride = stride
        return product.view(count, rows, columns, filters).permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        (gradient,) = gradients
        images, unfolded, weight = ctx.saved_tensors
        filters, channels, size, _ = weight.shape
        of_images = of_weight = None
        if ctx.needs_input_grad[0]:
            of_images = conv2d_input(  # type: ignore[no-untyped-call]
                images.shape, weight, gradient, ctx.stride, size // 2
            )
        if ctx.needs_input_grad[1]:
            flat = gradient.permute(0, 2, 3, 1).reshape(-1, filters)
            of_weight = (flat.t() @ unfolded).view(filters, size, size, channels)
            of_weight = of_weight.permute(0, 3, 1, 2)
        return of_images, of_weight, None
