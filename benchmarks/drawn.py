"""What a machine without the project's data can train on: drawn images, weights and heads.

Seconds and memory depend on sizes alone. Accuracies say only that training works.
"""

from __future__ import annotations

import math
import random

import torch
from torch.nn import functional as F

from src.config import Params, Space
from src.data.faceset import FaceSet, Split
from src.models.weights import random_weights
from src.training.job import StartingPoint
from src.tune.space import TrialParams

COARSE, NOISE = 4, 60.0


def drawn_start(params: Params, subjects: int, each: int) -> StartingPoint:
    """Random source weights, and `each` images of every subject: 8 of 10 for training, 2 for test.

    A tenth of the training images is for validation. Of three images or more each split has one.
    """
    source = random_weights(params.model.backbone, params.seed)
    faces = drawn_faces(subjects, each, params.data.image_size)
    return StartingPoint(faces, source, f"drawn, {subjects} x {each}", "drawn")


def drawn_faces(subjects: int, each: int, size: int) -> FaceSet:
    """A smooth pattern for every subject, under noise."""
    generator = torch.Generator().manual_seed(0)
    coarse = 255 * torch.rand(subjects, 3, COARSE, COARSE, generator=generator)
    patterns = F.interpolate(coarse, (size, size), mode="bilinear")
    images = torch.empty(subjects * each, 3, size, size, dtype=torch.uint8)
    for number, pattern in enumerate(patterns):
        noise = NOISE * torch.randn(each, 3, size, size, generator=generator)
        images[number * each : (number + 1) * each] = (pattern + noise).clamp(0, 255).byte()
    test = max(1, each // 5)
    val = max(1, (each - test) // 10)
    split = torch.full((each,), Split.train.value, dtype=torch.uint8)
    split[each - test :] = Split.test.value
    split[each - test - val : each - test] = Split.val.value
    names = tuple(f"subject_{number:03}" for number in range(1, subjects + 1))
    labels = torch.arange(subjects).repeat_interleave(each)
    return FaceSet(images, labels, split.repeat(subjects), names)


def drawn_heads(space: Space, number: int, seed: int) -> list[TrialParams]:
    """Points of the search space as Optuna's random sampler distributes them."""
    draw = random.Random(seed)  # noqa: S311
    return [_drawn_head(space, draw) for _ in range(number)]


def _drawn_head(space: Space, draw: random.Random) -> TrialParams:
    layers = range(draw.randint(space.layers[0], space.layers[-1]))
    return TrialParams(
        hidden=tuple(round(_log_uniform(space.width, draw)) for _ in layers),
        dropout=tuple(draw.uniform(space.dropout[0], space.dropout[-1]) for _ in layers),
        learning_rate=_log_uniform(space.learning_rate, draw),
        weight_decay=_log_uniform(space.weight_decay, draw),
        batch_size=draw.choice(space.batch_size),
    )


def _log_uniform(bounds: tuple[float, ...], draw: random.Random) -> float:
    low, high = bounds[0], bounds[-1]
    return min(high, max(low, low * math.exp(draw.random() * math.log(high / low))))
