"""3×3 convolutions with a quarter of the multiplications, for training in float32 on a processor.

Winograd's minimal filtering F(4×4, 3×3) (Lavin and Gray, 2016, Fast algorithms for convolutional
neural networks): 36 products of matrices stand for the 144 products that each tile of 4×4 outputs
takes directly. oneDNN has it no longer, and torch has neither of its backward passes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

TILE, WINDOW = 4, 6  # sides of a tile of outputs, and of the inputs it depends on
PART = 2**14  # columns of a product that one thread takes

# B^T, G and A^T of the paper's section 4.2, for the points 0, 1, -1, 2, -2 and infinity.
_INPUTS: list[list[float]] = [
    [4, 0, -5, 0, 1, 0],
    [0, -4, -4, 1, 1, 0],
    [0, 4, -4, -1, 1, 0],
    [0, -2, -1, 2, 1, 0],
    [0, 2, -1, -2, 1, 0],
    [0, 4, 0, -5, 0, 1],
]
_FILTERS: list[list[float]] = [
    [1 / 4, 0, 0],
    [-1 / 6, -1 / 6, -1 / 6],
    [-1 / 6, 1 / 6, -1 / 6],
    [1 / 24, 1 / 12, 1 / 6],
    [1 / 24, -1 / 12, 1 / 6],
    [0, 0, 1],
]
_OUTPUTS: list[list[float]] = [
    [1, 1, 1, 1, 1, 0],
    [0, 1, -1, 2, -2, 0],
    [0, 1, 1, 4, 4, 0],
    [0, 1, -1, 8, -8, 1],
]


INPUTS, FILTERS, OUTPUTS = (
    torch.tensor(rows, dtype=torch.float64, device="cpu") for rows in (_INPUTS, _FILTERS, _OUTPUTS)
)
FILTERS_AT_ONCE = torch.kron(FILTERS, FILTERS)  # of so few rows, two products take longer than one


def grid(height: int, width: int) -> tuple[int, int]:
    """Rows and columns of the tiles that cover (H, W) outputs."""
    return -(-height // TILE), -(-width // TILE)


def winograd_conv2d(images: Tensor, weight: Tensor) -> Tensor:
    """(N, C, H, W) by (D, C, 3, 3) to (N, D, H, W), with a border of zeros; all channels-last.

    In float32 the largest error is a few times that of a direct convolution.
    """
    outputs = _Winograd.apply(images, weight)
    assert isinstance(outputs, Tensor)  # noqa: S101  # `apply` has no type
    return outputs


class _Winograd(torch.autograd.Function):
    """Gradients are taken by the transposes of the steps forward, in the opposite order.

    Transformed windows, 2.25 times as large as images where no tile juts out, are kept for the
    gradient of the weights.
    """

    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor) -> Tensor:
        windows, filters = _transformed_windows(images), _transformed_filters(weight)
        ctx.save_for_backward(windows, filters)
        ctx.shape = images.shape
        return _outputs(torch.bmm(windows, filters.mT), images.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None]:
        (gradient,) = gradients
        windows, filters = ctx.saved_tensors
        of_products = _outputs_transposed(gradient)
        of_images = of_weight = None
        if ctx.needs_input_grad[0]:
            of_images = _windows_transposed(torch.bmm(of_products, filters), ctx.shape)
        if ctx.needs_input_grad[1]:
            of_weight = _filters_transposed(torch.bmm(of_products.mT, windows))
        return of_images, of_weight


def _transformed_filters(weight: Tensor) -> Tensor:
    """(D, C, 3, 3) to (36, D, C)."""
    flat = weight.permute(2, 3, 0, 1).reshape(9, -1)
    return _product(FILTERS_AT_ONCE.to(weight.dtype), flat).view(-1, *weight.shape[:2])


def _filters_transposed(gradient: Tensor) -> Tensor:
    _, filters, channels = gradient.shape
    matrix = FILTERS_AT_ONCE.to(gradient.dtype).t()
    flat = _product(matrix, gradient.view(WINDOW**2, -1))
    return flat.view(3, 3, filters, channels).permute(2, 3, 0, 1)


def _both_sides(matrix: Tensor, squares: Tensor) -> Tensor:
    """(K * K, N) to (M * M, N): N squares S of K rows to matrix @ S @ matrix.t()."""
    matrix = matrix.to(squares.dtype)
    rows, inner = matrix.shape
    half = _product(matrix, squares.view(inner, -1)).view(rows, inner, -1)
    return (matrix @ half).view(rows**2, -1)


def _product(matrix: Tensor, columns: Tensor) -> Tensor:
    """(M, K) by (K, N) to (M, N), in parts: MKL leaves few rows by many columns to one thread."""
    (rows, inner), count = matrix.shape, columns.shape[1]
    parts = count // PART
    if parts * PART != count:
        return matrix @ columns
    found = columns.new_empty(rows, count)
    each, out = (whole.view(-1, parts, PART).transpose(0, 1) for whole in (columns, found))
    torch.bmm(matrix.expand(parts, rows, inner), each, out=out)
    return found


def _transformed_windows(images: Tensor) -> Tensor:
    """(N, C, H, W) to (36, tiles, C): windows overlap their neighbours by two pixels."""
    count, channels, *size = images.shape
    padded = _filled_up(images, border=1)
    per_image, per_row, per_pixel, per_channel = padded.stride()
    windows = padded.as_strided(
        (WINDOW, WINDOW, count, *grid(*size), channels),
        (per_row, per_pixel, per_image, TILE * per_row, TILE * per_pixel, per_channel),
    )
    transformed = _both_sides(INPUTS, windows.reshape(WINDOW**2, -1))
    return transformed.view(WINDOW**2, -1, channels)


def _windows_transposed(gradient: Tensor, shape: torch.Size) -> Tensor:
    count, channels, height, width = shape
    rows, columns = grid(height, width)
    windows = _both_sides(INPUTS.t(), gradient.view(WINDOW**2, -1))
    windows = windows.view(WINDOW, WINDOW, count, rows, columns, channels)
    padded = gradient.new_zeros(count, TILE * rows + 2, TILE * columns + 2, channels)
    for row in range(WINDOW):
        for column in range(WINDOW):
            below, right = row + TILE * rows, column + TILE * columns
            padded[:, row:below:TILE, column:right:TILE] += windows[row, column]
    return padded[:, 1 : height + 1, 1 : width + 1].permute(0, 3, 1, 2)


def _outputs(products: Tensor, shape: torch.Size) -> Tensor:
    """(36, tiles, D) to (N, D, H, W), for images of `shape`."""
    count, _, height, width = shape
    rows, columns = grid(height, width)
    tiles = _both_sides(OUTPUTS, products.view(WINDOW**2, -1))
    pixels = tiles.view(TILE, TILE, count, rows, columns, -1).permute(2, 3, 0, 4, 1, 5)
    whole = pixels.reshape(count, TILE * rows, TILE * columns, -1)
    return whole[:, :height, :width].permute(0, 3, 1, 2)


def _outputs_transposed(gradient: Tensor) -> Tensor:
    count, filters, *size = gradient.shape
    rows, columns = grid(*size)
    pixels = _filled_up(gradient).view(count, rows, TILE, columns, TILE, filters)
    tiles = pixels.permute(2, 4, 0, 1, 3, 5).reshape(TILE**2, -1)
    products = _both_sides(OUTPUTS.t(), tiles)
    return products.view(WINDOW**2, -1, filters)


def _filled_up(images: Tensor, border: int = 0) -> Tensor:
    """(N, H', W', C) of (N, C, H, W): zeros around them, and as many as tiles jut out."""
    height, width = images.shape[2:]
    rows, columns = grid(height, width)
    right, below = TILE * columns - width, TILE * rows - height
    sides = (border, border + right, border, border + below)
    return F.pad(images.permute(0, 2, 3, 1), (0, 0, *sides)).contiguous()
