"""Pretraining a source network on rendered images.

As in formula-driven pretraining (Kataoka et al., 2020), the weights are learnt from rendered images
alone; none of their subjects occurs in a target. The objects are closed contours, as in Kataoka et
al. (2022), with textures. The standard stem makes an epoch four times cheaper than the stride-1
stem that fine-tuning uses on the same images; its weights stay valid when the stride changes, just
as ImageNet's do.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from src.closure import code_digest
from src.config import Recipe, SourceTask
from src.data.objects import Style, render_objects
from src.data.streams import FIRST_SOURCE
from src.data.synthetic.render import render_subjects
from src.errors import ConfigError
from src.models.backbones import BACKBONES
from src.models.head import initialize_head
from src.models.imports import without_dynamo
from src.models.network import ModelSpec, Network
from src.models.trainable import resolve_blocks
from src.models.weights import SourceWeights, load_source, random_weights
from src.training.checkpoint import Checkpoint
from src.training.device import Compute
from src.training.fingerprint import Fingerprint
from src.training.inputs import ImageInputs
from src.training.loop import Examples, Plan, train
from src.training.order import Purpose, stream
from src.training.progress import epochs_bar
from src.training.scratch import optional_write

HELD_OUT = 10  # every tenth image is used for validation
STYLE = Style(parts=4, zoom=1.6, clutter=0.4)  # learnt sooner than small objects in a loud scene


def pretrain(
    task: SourceTask,
    *,
    backbone: str,
    image_size: int,
    seed: int,
    compute: Compute,
    scratch: Path,
) -> SourceWeights:
    """Render the images of `task` and train a network on them; returns its backbone.

    image_size: pixels, unless the task has its own. A training that was stopped resumes from its
    checkpoint in `scratch`, which stays until `discard_checkpoint`. Raises ConfigError about sizes
    that do not fit.
    """
    size = task.image_size or image_size
    _check_input(task.augment.input_size or size, size, backbone)
    images, labels = _render(task, size, seed)
    mean, deviation = _statistics(images)
    spec = ModelSpec(
        backbone=backbone,
        stem="standard",
        image_size=images.shape[-1],
        subjects=tuple(map(str, range(task.subjects))),
        mean=mean,
        deviation=deviation,
        crop=task.augment.input_size,
    )
    network = Network(spec)
    load_source(network, random_weights(backbone, seed))
    initialize_head(network.head, stream(Purpose.source_head, seed))
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
        augment=task.augment,
        select="last",
    )
    plan = Plan(
        recipe, resolve_blocks(network, ("all",)), task.epochs, task.batch_size, seed, task.stop
    )
    facts = (code_digest(__name__), Fingerprint.of(compute), task, backbone, image_size, seed)
    key = hashlib.sha256(repr(facts).encode()).hexdigest()
    checkpoint = Checkpoint(_checkpoint(backbone, scratch), key)
    with epochs_bar("pretrain", task.stop or task.epochs) as advance, without_dynamo():
        history = train(network, plan, training, validation, compute, advance, checkpoint)
    state = {
        name: tensor.cpu()
        for name, tensor in network.state_dict().items()
        if not name.startswith(spec.head_parameter_prefix)
    }
    what = "synthetic identities" if task.task == "faces" else "kinds of objects"
    origin = f"pretrain ({task.subjects} {what}, {history[-1].val_accuracy:.1%})"
    return SourceWeights(state, backbone, origin, mean=mean, deviation=deviation)


def discard_checkpoint(backbone: str, scratch: Path) -> None:
    """Remove what `pretrain` resumes from, if it is there, once its weights are written."""
    path = _checkpoint(backbone, scratch)
    with optional_write(path):
        path.unlink(missing_ok=True)


def _check_input(side: int, most: int, backbone: str) -> None:
    """Raise ConfigError unless inputs are no larger than images and large enough for `backbone`."""
    where, least = "origin file for weights", BACKBONES[backbone].least
    if side > most:
        what = f"augment.input_size is {side}, larger than its images"
        raise ConfigError(where, what, f"use at most {most}")
    if side < least:
        what = f"its inputs have {side}, and {backbone} takes no images under {least} pixels"
        raise ConfigError(where, what, f"give at least {least}")


def _checkpoint(backbone: str, scratch: Path) -> Path:
    return scratch / f"pretrain-{backbone}.checkpoint"


def _render(task: SourceTask, size: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(N, 3, size, size) uint8 images and (N,) int64 labels."""
    if task.task == "objects":
        pixels = render_objects(
            list(range(FIRST_SOURCE, FIRST_SOURCE + task.subjects)),
            task.images_per_subject,
            size,
            seed,
            replace(STYLE, likeness=task.likeness, families=task.families),
        )
    else:
        pixels = render_subjects(
            task.subjects, task.images_per_subject, size, seed, first_subject=FIRST_SOURCE
        )
    images = torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))
    return images, torch.arange(task.subjects).repeat_interleave(task.images_per_subject)


def _statistics(images: torch.Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of each channel, of pixels scaled to [0, 1], to four decimals."""
    pixels = images[:: max(1, len(images) // 1000)].float() / 255
    mean, deviation = pixels.mean((0, 2, 3)), pixels.std((0, 2, 3))
    return (
        tuple(round(value, 4) for value in mean.tolist()),
        tuple(round(value, 4) for value in deviation.tolist()),
    )
