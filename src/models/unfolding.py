"""Convolutions as matrix products, for training on a processor where their outputs are few.

The product of unfolded inputs and filters (Chellapilla et al., 2006, High performance convolutional
neural networks for document processing) streams the weights once. oneDNN copies them into layouts
of its own, for each pass, and sums their gradient at a third of the speed.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.nn.grad import conv2d_input


def unfolded_conv2d(images: Tensor, weight: Tensor, stride: int) -> Tensor:
    """(N, C, H, W) by (D, C, K, K) to (N, D, H', W'), with a border of K // 2 zeros.

    All of them are channels-last in memory; K is odd.
    """
    outputs = _Unfolded.apply(images, weight, stride)
    assert isinstance(outputs, Tensor)  # noqa: S101  # `apply` has no type
    return outputs


class _Unfolded(torch.autograd.Function):
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
        ctx.save_for_backward(unfolded, weight)
        ctx.shape, ctx.stride = images.shape, stride
        return product.view(count, rows, columns, filters).permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        (gradient,) = gradients
        unfolded, weight = ctx.saved_tensors
        filters, channels, size, _ = weight.shape
        of_images = of_weight = None
        if ctx.needs_input_grad[0]:
            of_images = conv2d_input(  # type: ignore[no-untyped-call]
                ctx.shape, weight, gradient, ctx.stride, size // 2
            )
        if ctx.needs_input_grad[1]:
            flat = gradient.permute(0, 2, 3, 1).reshape(-1, filters).t()
            if flat.dtype == torch.bfloat16:  # in which oneDNN multiplies transposed views slowly
                flat = flat.contiguous()
            of_weight = (flat @ unfolded).view(filters, size, size, channels)
            of_weight = of_weight.permute(0, 3, 1, 2)
        return of_images, of_weight, None
