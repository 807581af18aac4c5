"""The cache of a frozen prefix's outputs, computed once by a folded, half-precision copy.

Within a memory budget the cache is a tensor, beyond it a temporary file if the disk has room.
Otherwise nothing is cached and the loop runs the whole network, which takes longer. Nothing is
folded there, so a run with a cache and one without agree within rounding, not bit for bit.
"""

from __future__ import annotations

import copy
import itertools
import os
from io import RawIOBase
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from src.files import unnamed
from src.models.convolutions import speed_up_answers
from src.models.network import ModelSpec, Network, Norm
from src.training.device import Compute
from src.training.inputs import Activations, ActivationsOnDisk, ImageInputs, Inputs

if TYPE_CHECKING:
    from src.data.faceset import MappedImages

BATCH = 64


def folded(network: Network, dtype: torch.dtype) -> Network:
    """A copy for inference in `dtype`: BatchNorm folded into convolutions, channels last.

    Folding takes a convolution and the BatchNorm registered right after it as one, which is the
    order in which torchvision's networks run them.
    """
    prefix = copy.deepcopy(network).eval().requires_grad_(False)
    for module in list(prefix.modules()):
        _fold_children(module)
    speed_up_answers(prefix)
    return prefix.to(dtype=dtype).to(memory_format=torch.channels_last)


def _fold_children(module: nn.Module) -> None:
    names = [name for name, _ in module.named_children()]
    for name, following in itertools.pairwise(names):
        convolution, norm = getattr(module, name), getattr(module, following)
        if isinstance(convolution, nn.Conv2d) and isinstance(norm, Norm):
            setattr(module, name, fuse_conv_bn_eval(convolution, norm))
            setattr(module, following, nn.Identity())


@torch.no_grad()
def recalibrate(
    network: Network,
    blocks: frozenset[str],
    images: Tensor | MappedImages,
    spec: ModelSpec,
    compute: Compute,
) -> None:
    """Re-estimate the running statistics of `blocks` as the mean over batches of `images`.

    Adaptive batch normalisation (Li et al., 2017): the source's statistics give way to the
    target's, the weights stay.
    """
    norms = [
        module
        for name in network.blocks
        if name in blocks
        for top in network.block(name)
        for module in top.modules()
        if isinstance(module, Norm)
    ]
    if not norms:
        return
    network.eval()
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    # Equal parts, as each counts alike in the mean, and one image may have no variance.
    inputs, rows = ImageInputs(images, spec), torch.arange(len(images), device=images.device)
    for part in torch.tensor_split(rows, -(-len(images) // BATCH)):
        with compute.autocast():
            network.run(inputs.batch(part, torch.zeros_like(part)), 0, len(network.blocks))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.eval()


@torch.no_grad()
def cache_prefix(
    network: Network, stop: int, inputs: Inputs, views: int, compute: Compute, budget: int
) -> Activations | ActivationsOnDisk | None:
    """Run blocks up to `stop` once on every view: in `budget` bytes of memory, else in a file.

    None if neither memory nor disk suffices, including a disk that fills up halfway.
    """
    prefix = folded(network, compute.dtype)
    device = compute.device
    cache: Activations | ActivationsOnDisk | None = None
    rows = torch.arange(len(inputs), device=device)
    for view in range(views):
        for part in torch.split(rows, BATCH):
            below = inputs.batch(part, torch.full_like(part, view)).to(compute.dtype)
            output = prefix.run(below, inputs.start, stop)
            output = output.permute(0, 2, 3, 1) if output.ndim == 4 else output
            if cache is None:
                shape = (views, len(inputs), *output.shape[1:])
                cache = allocate(shape, output.dtype, device, budget, stop)
                if cache is None:
                    return None
            try:
                cache.put(view, int(part[0]), output)
            except OSError:
                return None
    return cache


def allocate(
    shape: tuple[int, ...], dtype: torch.dtype, device: torch.device, budget: int, start: int
) -> Activations | ActivationsOnDisk | None:
    """Allocate activations of `shape` in `budget` bytes of memory, or else in a temporary file."""
    size = torch.Size(shape).numel() * dtype.itemsize
    if size <= budget:
        return Activations(torch.empty(shape, dtype=dtype, device=device), start)
    if device.type != "cpu":
        return None
    try:
        file = unnamed(buffering=0)
    except OSError:
        return None
    assert isinstance(file, RawIOBase)  # noqa: S101  # as it is without buffering
    disk = os.fstatvfs(file.fileno())
    if size > disk.f_bavail * disk.f_frsize // 2:
        return None
    return ActivationsOnDisk(file, shape, dtype, start)
