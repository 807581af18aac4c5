"""The floor: arithmetic that no engine avoids, over the rate this device was measured at."""

from __future__ import annotations

import time

import torch

from src.data.faceset import Split
from src.models.network import Network
from src.models.summary import layers
from src.models.trainable import frozen_prefix
from src.training.device import Compute
from src.training.fit import Fit
from src.training.optimizers import trained_blocks

SIZE, SECONDS = {"cpu": 2048, "cuda": 8192}, 1.0


def matrix_rate(compute: Compute) -> float:
    """FLOP/s of a square matrix product in the compute type, for about a second."""
    size = SIZE[compute.device.type]
    a, b = (torch.randn(size, size, device=compute.device, dtype=compute.dtype) for _ in "ab")
    torch.mm(a, b)
    _wait(compute)
    started, products = time.perf_counter(), 0
    while time.perf_counter() - started < SECONDS:
        torch.mm(a, b)
        _wait(compute)
        products += 1
    return products * 2 * size**3 / (time.perf_counter() - started)


def _wait(compute: Compute) -> None:
    if compute.device.type == "cuda":
        torch.cuda.synchronize()


def epoch_flops(work: Fit) -> float:
    """FLOPs per epoch that must be done.

    A block that never changes runs once for every view of every image, spread over the epochs;
    one that trains costs three times its forward pass (output, gradient of input and of weights);
    validation runs what trains, once. An `adapt`ing block runs forward in every epoch.
    """
    network = Network(work.spec())
    forward = block_flops(network, work.spec().input_size)
    trained = trained_blocks(network, work.experiment.train, work.recipe)
    prefix = frozen_prefix(network, trained, work.recipe.batchnorm)
    faces = work.inventory.faces
    images, validation = (len(faces.rows(split)) for split in (Split.train, Split.val))
    views = 2 if work.recipe.flip else 1
    total = 0.0
    for index, name in enumerate((*network.blocks, "head")):
        if index < prefix:
            total += forward[name] * (views * images + validation) / work.experiment.epochs
        else:
            below = any(block in trained for block in network.blocks[:index])
            passes = 1 + (name in trained) + below
            total += forward[name] * (passes * images + validation)
    return total


def block_flops(network: Network, image_size: int) -> dict[str, float]:
    """FLOPs of each block's convolutions and matrix products for one image, forward."""
    owner = {
        id(module): name
        for name in (*network.blocks, "head")
        for top in network.block(name)
        for module in top.modules()
    }
    flops = dict.fromkeys((*network.blocks, "head"), 0.0)
    for layer in layers(network, image_size):
        module = network.get_submodule(layer.name)
        positions = 1
        for side in layer.feature_map[1:]:
            positions *= side
        flops[owner[id(module)]] += 2.0 * layer.weights * positions
    return flops
