"""Random crops and colour jitter as batched work on the device, a function of seed, epoch and row.

The distributions are those of torchvision's RandomResizedCrop and ColorJitter, and so are the
pixels, up to rounding. A crop is resampled by two matrix products per image, whose matrices hold
the antialiased bilinear filter, so that every image of a batch may have a crop of its own, which
does not depend on the batch. On one thread of a processor this is over twice as fast as
`torchvision.transforms.v2` image by image (2800 against 1270 images of 64 pixels a second:
`OMP_NUM_THREADS=1 python -m benchmarks.libraries`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from src.config import Augment
from src.models.network import centre, per_channel, standardize
from src.training.inputs import ImageInputs, Inputs
from src.training.order import Purpose, stream
from src.training.ranks import ALONE, Ranks

ATTEMPTS = 10  # to draw a crop that lies within the image, as many as torchvision makes
LUMA = (0.2989, 0.587, 0.114)  # torchvision's weights of red, green and blue (ITU-R BT.601)
SIXTHS = (5.0, 3.0, 1.0)  # of the colour circle, by which red, green and blue follow the hue


@dataclass(frozen=True)
class AugmentationParams:
    """What happens to each of N images in one epoch.

    boxes: (N, 4) int64, top, left, height and width in pixels. factors: (N, 4) float32, of
    brightness, contrast and saturation, and the turn of the hue. orders: (N, 4) int64, a
    permutation of these four.
    """

    boxes: Tensor
    factors: Tensor
    orders: Tensor


@dataclass(frozen=True)
class AugmentedImages:
    """Images with the augmentation of one epoch."""

    inputs: ImageInputs
    augment: Augment
    params: AugmentationParams
    start: int = 0

    def __len__(self) -> int:
        return len(self.inputs)

    def batch(self, rows: Tensor, views: Tensor) -> Tensor:
        """(B, 3, H, H) float32, channels last: cropped, flipped, jittered, standardised."""
        images, spec = self.inputs.images[rows], self.inputs.spec
        with torch.autocast(images.device.type, enabled=False):
            if self.augment.random_resized_crop:
                x = resized_crop(images.float() / 255, self.params.boxes[rows], spec.input_size)
            else:
                x = centre(images, spec)
            x = torch.where(views.bool().view(-1, 1, 1, 1), x.flip(3), x)
            if any(self.augment.jitter):
                x = jitter(x, self.params.factors[rows], self.params.orders[rows])
            return standardize(x.contiguous(memory_format=torch.channels_last), spec)


def augmented(
    inputs: Inputs,
    augment: Augment,
    seed: int,
    epoch: int,
    images: int | None = None,
    ranks: Ranks = ALONE,
) -> Inputs:
    """`inputs` with the augmentation of `epoch`; unchanged if nothing is random.

    images: those of all ranks, where these are one's own; each is drawn as in one process.
    """
    if not augment.random or not isinstance(inputs, ImageInputs):
        return inputs
    images = len(inputs) if images is None else images
    drawn = draw_params(
        augment, images, inputs.images.shape[-1], stream(Purpose.crops, seed, epoch)
    )
    device = inputs.images.device
    own = (ranks.own(each).to(device) for each in (drawn.boxes, drawn.factors, drawn.orders))
    moved = AugmentationParams(*own)
    return AugmentedImages(inputs, augment, moved)


def draw_params(
    augment: Augment, images: int, size: int, generator: Generator
) -> AugmentationParams:
    """Draw the augmentation of one epoch for `images` square images of `size` pixels."""
    boxes = random_boxes(augment, images, size, generator)
    shares = torch.rand(images, 4, generator=generator) * 2 - 1
    factors = shares * torch.tensor(augment.jitter) + torch.tensor([1.0, 1.0, 1.0, 0.0])
    orders = torch.rand(images, 4, generator=generator).argsort(1)
    return AugmentationParams(boxes, factors, orders)


def random_boxes(augment: Augment, images: int, size: int, generator: Generator) -> Tensor:
    """(N, 4) int64 crops of square images by the rule of Szegedy et al. (2015).

    Area uniform, logarithm of the aspect ratio uniform, place uniform; the first attempt that
    fits counts, and where none does the largest centred crop of an allowed ratio.
    """
    shape = (images, ATTEMPTS)
    low, high = augment.scale
    area = size**2 * (low + (high - low) * torch.rand(shape, generator=generator))
    first, last = math.log(augment.ratio[0]), math.log(augment.ratio[1])
    ratio = (first + (last - first) * torch.rand(shape, generator=generator)).exp()
    width, height = (area * ratio).sqrt().round(), (area / ratio).sqrt().round()
    fits = (width >= 1) & (width <= size) & (height >= 1) & (height <= size)
    attempt = fits.int().argmax(1, keepdim=True)
    none = ~fits.any(1, keepdim=True)
    wide = min(max(1.0, augment.ratio[0]), augment.ratio[1])  # a square's own ratio is 1
    largest = [max(1, min(size, round(side))) for side in (size / wide, size * wide)]
    height = height.gather(1, attempt).where(~none, torch.tensor(largest[0]))
    width = width.gather(1, attempt).where(~none, torch.tensor(largest[1]))
    sides = torch.cat([height, width], 1)
    place = (torch.rand(images, 2, generator=generator) * (size - sides + 1)).floor()
    place = place.where(~none, ((size - sides) / 2).floor())
    return torch.cat([place, sides], 1).to(torch.int64)


def resized_crop(images: Tensor, boxes: Tensor, size: int) -> Tensor:
    """(N, 3, S, S) float32 cut to (N, 4) boxes and resized to (N, 3, size, size).

    Bilinear with antialiasing, as torchvision resizes tensors; values in [0, 1] stay in [0, 1].
    """
    side = images.shape[-1]
    rows = resampling(boxes[:, 0], boxes[:, 2], side, size)
    columns = resampling(boxes[:, 1], boxes[:, 3], side, size)
    return rows[:, None] @ images @ columns[:, None].mT


def resampling(start: Tensor, length: Tensor, side: int, size: int) -> Tensor:
    """(N, size, side) matrices that take `length` of `side` pixels, from `start` on, to `size`.

    The triangle filter, widened by the scale where it shrinks; rows sum to one.
    """
    start, length = start.view(-1, 1, 1).float(), length.view(-1, 1, 1).float()
    scale = length / size
    support = scale.clamp(min=1)
    device = start.device
    centres = start + (torch.arange(size, device=device).view(1, -1, 1) + 0.5) * scale
    pixels = torch.arange(side, device=device).view(1, 1, -1) + 0.5
    inside = (pixels > start) & (pixels < start + length)
    weights = (1 - (pixels - centres).abs() / support).clamp(min=0) * inside
    return weights / weights.sum(2, keepdim=True)


def jitter(images: Tensor, factors: Tensor, orders: Tensor) -> Tensor:
    """(N, 3, H, W) float32 in [0, 1], each changed by its four factors in its own order."""
    steps = (brightness, contrast, saturation, hue)
    for place in range(len(steps)):
        turn = orders[:, place]
        for number, step in enumerate(steps):
            rows = (turn == number).nonzero().flatten()
            changed = step(images[rows], factors[rows, number].view(-1, 1, 1, 1))
            images = images.index_copy(0, rows, changed)
    return images


def brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Blend with black."""
    return (images * factor).clamp(0, 1)


def contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Blend with each image's mean grey."""
    return images.lerp(grey(images).mean((2, 3), keepdim=True), 1 - factor).clamp(0, 1)


def saturation(images: Tensor, factor: Tensor) -> Tensor:
    """Blend with the grey image."""
    return images.lerp(grey(images), 1 - factor).clamp(0, 1)


def grey(images: Tensor) -> Tensor:
    """(N, 1, H, W) luma."""
    return (images * per_channel(LUMA, images.device)).sum(1, keepdim=True)


def hue(images: Tensor, turn: Tensor) -> Tensor:
    """Shift the hue by `turn` of the colour circle, in HSV (Smith, 1978)."""
    value = images.amax(1, keepdim=True)
    spread = value - images.amin(1, keepdim=True)
    red, green, blue = torch.split(images, 1, dim=1)
    divisor = spread.where(spread > 0, torch.ones_like(spread))
    sector = torch.where(
        value == red,
        (green - blue) / divisor,
        torch.where(value == green, 2 + (blue - red) / divisor, 4 + (red - green) / divisor),
    )
    k = (per_channel(SIXTHS, images.device) + sector + 6 * turn) % 6
    return value - spread * torch.minimum(k, 4 - k).clamp(0, 1)
