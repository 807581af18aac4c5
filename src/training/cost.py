"""The cost of training: the arithmetic of its layers, and the measured rate of the device."""

from __future__ import annotations

import time

import torch
from torch.utils.flop_counter import FlopCounterMode

from src.data.faceset import Split
from src.models.convolutions import torchs_convolutions
from src.models.network import Network
from src.models.trainable import frozen_prefix, trained_blocks, unfreeze
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

    A prefix that never changes runs once for every view of every image, spread over the epochs;
    the rest runs forward and back for training images, and forward for those of validation.
    """
    network = Network(job.spec()).eval()
    trained = trained_blocks(network, job.experiment.train, job.recipe)
    unfreeze(network, trained, job.recipe.batchnorm)
    stop = frozen_prefix(network, trained, job.recipe.batchnorm)
    image = torch.zeros(1, 3, job.spec().input_size, job.spec().input_size)
    with FlopCounterMode(display=False) as once, torch.no_grad():
        below = network.run(image, 0, stop)
    with FlopCounterMode(display=False) as forward, torchs_convolutions():
        logits = network(below, stop)
    with FlopCounterMode(display=False) as backward:
        if logits.requires_grad:
            logits.sum().backward()
    faces = job.starting_point.faces
    images, validation = (len(faces.rows(split)) for split in (Split.train, Split.val))
    validation *= job.recipe.answer_views
    seen = job.recipe.training_views * images + validation
    first = once.get_total_flops() * seen / job.experiment.epochs
    each = forward.get_total_flops() * (images + validation)
    return float(first + each + backward.get_total_flops() * images)
