"""Which heads are worth training as one batch: launches saved against arithmetic on padding."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import torch

from src.training.head_task import HeadTask

# Seconds that a step costs before any arithmetic, and the rate of the arithmetic; measured by
# `python -m benchmarks.heads`. Only their product matters, and only roughly.
LAUNCH = {"cpu": 5e-4, "cuda": 5e-4}
FLOPS = {"cpu": 1e11, "cuda": 2e13}
# A batch of heads with more weights than this each is slower than they are one by one, by this
# share: they push each other, and their moments, out of the processor's cache. Heads as large
# are multiplied in the precision of the device; for smaller ones converting takes what it gives.
LARGE, CROWDING = {"cpu": 800_000, "cuda": 2**62}, 0.15


def group_tasks(
    tasks: Sequence[HeadTask], features: int, classes: int, device: torch.device
) -> list[list[int]]:
    """Task numbers in groups to train together, cheapest first.

    Heads can share a batch when depth, batch size, length, precision and all of the recipe but
    learning rate and weight decay agree. Among those, neighbours in size are joined while that
    costs less than apart.
    """
    alike: dict[Any, list[int]] = defaultdict(list)
    for number, task in enumerate(tasks):
        shared = task.recipe.model_copy(update={"learning_rate": 1.0, "weight_decay": 0.0})
        dtype = product_dtype(task, features, classes, device)
        key = (len(task.head.hidden), task.batch_size, task.epochs, dtype, shared.model_dump_json())
        alike[key].append(number)
    groups = []
    for numbers in alike.values():
        ordered = sorted(numbers, key=lambda n: (_flops([tasks[n]], features, classes), n))
        group = [ordered[0]]
        for number in ordered[1:]:
            joined = _seconds([tasks[n] for n in (*group, number)], features, classes, device)
            apart = _seconds([tasks[n] for n in group], features, classes, device) + _seconds(
                [tasks[number]], features, classes, device
            )
            if joined <= apart:
                group.append(number)
            else:
                groups.append(group)
                group = [number]
        groups.append(group)
    return groups


def product_dtype(task: HeadTask, features: int, classes: int, device: torch.device) -> torch.dtype:
    """The dtype of a head's matrix products; it depends on the head alone, not on its group."""
    large = _weights([task], features, classes) > LARGE[device.type]
    return task.dtype if large else torch.float32


def _seconds(tasks: list[HeadTask], features: int, classes: int, device: torch.device) -> float:
    crowded = len(tasks) > 1 and _weights(tasks, features, classes) > LARGE[device.type]
    seconds = _flops(tasks, features, classes) / FLOPS[device.type]
    return LAUNCH[device.type] + seconds * (1 + CROWDING * crowded)


def _flops(tasks: list[HeadTask], features: int, classes: int) -> float:
    """Of one training step of heads padded to their widest: 2 forward, 4 backward per weight."""
    return 6.0 * _weights(tasks, features, classes) * tasks[0].batch_size * len(tasks)


def _weights(tasks: list[HeadTask], features: int, classes: int) -> int:
    """Of each head, padded to the widest."""
    widths = [max(layer) for layer in zip(*(task.head.hidden for task in tasks), strict=True)]
    return sum(a * b for a, b in itertools.pairwise([features, *widths, classes]))
