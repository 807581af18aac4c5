"""Pretraining a source network on rendered images.

As in formula-driven pretraining (Kataoka et al., 2020), the weights are learnt from rendered images
alone; none of their subjects occurs in a target. The standard stem makes an epoch twelve times
cheaper than the stride-1 stem that fine-tuning uses on the same images; its weights stay valid
when the stride changes, just as ImageNet's do.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from src.config import Params, Recipe, SourceTask
from src.data.objects import render_objects
from src.data.streams import FIRST_SOURCE
from src.data.synthetic.render import render_subjects
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

HELD_OUT = 10  # every tenth image is used for validation
SMALLEST = 0.6  # side of the smallest crop, as a share of the image's


def pretrain(task: SourceTask, params: Params) -> SourceWeights:
    """Render the images of `task` and train a network on them; returns its backbone."""
    compute = resolve_device(params.engine.device, params.engine.precision)
    images, labels = _render(task, params)
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


def _render(task: SourceTask, params: Params) -> tuple[torch.Tensor, torch.Tensor]:
    """(N, 3, S, S) uint8 images and (N,) int64 labels."""
    size = task.image_size or params.data.image_size
    if task.task == "objects":
        kinds = list(range(FIRST_SOURCE, FIRST_SOURCE + task.subjects))
        pixels = render_objects(kinds, task.images_per_subject, size, params.seed)
    else:
        pixels = render_subjects(
            task.subjects, task.images_per_subject, size, params.seed, first_subject=FIRST_SOURCE
        )
    images = torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))
    images = _random_crops(images, stream(Purpose.crops, params.seed))
    labels = torch.arange(task.subjects).repeat_interleave(task.images_per_subject)
    return images, labels


def _random_crops(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """A random square crop of each image, resized to the size of the image.

    Crops of every scale make features learnt at one size transfer to another (Szegedy et al.,
    2015): a stride-1 stem sees faces four times as large as the stem trained here.
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
    """Mean and deviation of each channel, of pixels scaled to [0, 1], to four decimals."""
    pixels = images[:1000].float() / 255
    mean, deviation = pixels.mean((0, 2, 3)), pixels.std((0, 2, 3))
    return (
        tuple(round(value, 4) for value in mean.tolist()),
        tuple(round(value, 4) for value in deviation.tolist()),
    )
