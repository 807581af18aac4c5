"""The source network of the embedded default: trained here, to name synthetic identities.

Weights learnt from rendered images alone, as in formula-driven pretraining (Kataoka et al., 2020);
the identities are disjoint from every target's. The standard stem makes an epoch twelve times
cheaper than the stride-1 stem that fine-tuning uses on the same images; the weights are kept
when the stride changes, just as ImageNet's are.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from src.config import Params, Pretrain, Recipe
from src.data.objects import FIRST_SOURCE, render_objects
from src.data.synthetic import render_source
from src.models.head import initialize_head
from src.models.imports import without_dynamo
from src.models.network import ModelSpec, Network
from src.models.trainable import resolve_blocks
from src.models.weights import SourceWeights, load_source, random_weights
from src.training.device import resolve as resolve_device
from src.training.inputs import ImageInputs
from src.training.loop import Examples, Plan, train
from src.training.order import Purpose, stream
from src.training.progress import epochs_bar

HELD_OUT = 10  # one image in ten shows whether the source task is being learnt
SMALLEST = 0.6  # side of the smallest crop, as a share of the image's


def pretrain(task: Pretrain, params: Params) -> SourceWeights:
    """Render the source task, train on it, and give back the backbone."""
    compute = resolve_device(params.engine.device, params.engine.precision)
    images, labels = _rendered(task, params)
    mean, deviation = _statistics(images)
    subjects = tuple(map(str, range(task.subjects)))
    size = images.shape[-1]
    spec = ModelSpec(
        backbone=params.model.backbone,
        stem="standard",
        image_size=size,
        subjects=subjects,
        mean=mean,
        deviation=deviation,
    )
    network = Network(spec)
    load_source(network, random_weights(params.model.backbone, params.seed))
    initialize_head(network.head, stream(Purpose.source_head, params.seed))
    network = network.to(compute.device).to(memory_format=torch.channels_last)
    held_out = torch.arange(len(labels)) % HELD_OUT == 0
    training, validation = (
        Examples(
            ImageInputs(images[rows].to(compute.device), spec), labels[rows].to(compute.device)
        )
        for rows in (~held_out, held_out)
    )
    recipe = Recipe(
        optimizer="adamw",
        learning_rate=task.learning_rate,
        weight_decay=task.weight_decay,
        schedule="onecycle",
        label_smoothing=0.1,
        batchnorm="train",
        normalize=True,
        flip=True,
        select="last",
    )
    plan = Plan(
        recipe, resolve_blocks(network, ("all",)), task.epochs, task.batch_size, params.seed
    )
    with epochs_bar("pretrain", task.epochs) as advance, without_dynamo():
        history = train(network, plan, training, validation, compute, advance)
    state = {
        name: tensor.cpu()
        for name, tensor in network.state_dict().items()
        if not name.startswith(spec.head_parameter_prefix)
    }
    what = "synthetic identities" if task.task == "faces" else "kinds of objects"
    origin = f"pretrain ({task.subjects} {what}, {history[-1].val_accuracy:.1%})"
    return SourceWeights(state, params.model.backbone, origin, mean=mean, deviation=deviation)


def _rendered(task: Pretrain, params: Params) -> tuple[torch.Tensor, torch.Tensor]:
    """(N, 3, S, S) uint8 images and (N,) int64 identities."""
    size = task.image_size or params.data.image_size
    if task.task == "objects":
        kinds = list(range(FIRST_SOURCE, FIRST_SOURCE + task.subjects))
        pixels = render_objects(kinds, task.images_per_subject, size, params.seed)
    else:
        pixels = render_source(task.subjects, task.images_per_subject, size, params.seed)
    images = torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))
    images = _zoomed(images, stream(Purpose.crops, params.seed))
    labels = torch.arange(task.subjects).repeat_interleave(task.images_per_subject)
    return images, labels


def _zoomed(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Each image replaced by a random square crop of it, resized to the same size.

    Crops of every scale are what makes features of one size transfer to another (Szegedy et al.,
    2015): a stride-1 stem sees faces four times as large as the stem that learns here.
    """
    share = SMALLEST ** torch.rand(len(images), 1, 1, generator=generator)
    shift = (1 - share) * (2 * torch.rand(len(images), 2, 1, generator=generator) - 1)
    boxes = torch.cat([share * torch.eye(2), shift], dim=2)
    parts = []
    for part, box in zip(torch.split(images, 500), torch.split(boxes, 500), strict=True):
        grid = functional.affine_grid(box, list(part.shape), align_corners=False)
        parts.append(functional.grid_sample(part.float(), grid, align_corners=False))
    return torch.cat(parts).round().to(torch.uint8)


def _statistics(images: torch.Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of each channel, of pixels scaled to [0, 1]; rounded to be readable."""
    pixels = images[:1000].float() / 255
    mean, deviation = pixels.mean((0, 2, 3)), pixels.std((0, 2, 3))
    return (
        tuple(round(value, 4) for value in mean.tolist()),
        tuple(round(value, 4) for value in deviation.tolist()),
    )
