"""The cost of training: the arithmetic of its layers, and the measured rate of the device."""

from __future__ import annotations

import time

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from src.data.faceset import Split
from src.models.convolutions import torchs_convolutions
from src.models.network import Network
from src.models.trainable import phases, trained_blocks, unfreeze
from src.training.device import Compute
from src.training.job import TrainingJob

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


def epoch_flops(job: TrainingJob) -> float:
    """The least FLOPs per epoch by layers as they are defined, as PyTorch counts them.

    What has not trained yet runs once for every view of every image, spread over the epochs, but in
    every epoch for training images that change at random; the rest runs forward and back for
    training images, and forward for those of validation.
    """
    recipe, epochs, faces = job.recipe, job.experiment.epochs, job.starting_point.faces
    network = Network(job.spec()).eval()
    trained = trained_blocks(network, job.experiment.train, recipe)
    parts = phases(network, trained, recipe, epochs)
    size = job.spec().input_size
    image = torch.zeros(1, 3, size, size)
    images, validation = (len(faces.rows(split)) for split in (Split.train, Split.val))
    validation *= recipe.answer_views
    changing = recipe.augment.random and not job.experiment.head.classical
    total = deepest = 0
    for phase in parts:
        unfreeze(network, phase.trained, recipe.batchnorm)
        frozen, forward, backward = _flops(network, image, phase.stop)
        each = forward + backward + (frozen if changing else 0)
        total += phase.epochs * (each * images + forward * validation)
        deepest = max(deepest, frozen)
    total += deepest * (validation + (0 if changing else recipe.training_views * images))
    return float(total / epochs)


def _flops(network: Network, image: Tensor, start: int) -> tuple[int, int, int]:
    """FLOPs of an image's way up to block `start`, from there on, and of the gradients' back."""
    with FlopCounterMode(display=False) as frozen, torch.no_grad():
        below = network.run(image, 0, start)
    with FlopCounterMode(display=False) as forward, torchs_convolutions():
        logits = network(below, start)
    with FlopCounterMode(display=False) as backward:
        if logits.requires_grad:
            logits.sum().backward()
    return frozen.get_total_flops(), forward.get_total_flops(), backward.get_total_flops()
