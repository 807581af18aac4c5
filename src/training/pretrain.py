"""The source network of the embedded default: trained here, to name synthetic identities.

Weights learnt from rendered images alone, as in formula-driven pretraining (Kataoka et al., 2020);
the identities are disjoint from every target's. The standard stem makes an epoch twelve times
cheaper than the stride-1 stem that fine-tuning uses on the same pictures; the weights are kept
when the stride changes, just as ImageNet's are.
"""

from __future__ import annotations

import numpy as np
import torch

from src.config import Params, Recipe
from src.data.synthetic import render_source
from src.models.head import initialize_head
from src.models.imports import without_dynamo
from src.models.network import ModelSpec, Network
from src.models.trainable import resolve
from src.models.weights import SourceWeights, load_source, random_weights
from src.training.device import resolve as resolve_device
from src.training.inputs import Pictures
from src.training.loop import Examples, Plan, train
from src.training.order import stream
from src.training.progress import epochs_bar

HELD_OUT = 10  # one image in ten shows whether the source task is being learnt


def pretrain(params: Params) -> SourceWeights:
    """Render the source task, train on it, and give back the backbone."""
    task = params.pretrain
    compute = resolve_device(params.engine.device, params.engine.precision)
    images, labels = _source_task(params)
    mean, deviation = _statistics(images)
    subjects = tuple(map(str, range(task.subjects)))
    size = params.data.image_size
    spec = ModelSpec(
        params.model.backbone, "standard", size, subjects, mean=mean, deviation=deviation
    )
    network = Network(spec)
    load_source(network, random_weights(params.model.backbone, params.seed))
    initialize_head(network.head, stream(params.seed, 5))
    network = network.to(compute.device).to(memory_format=torch.channels_last)
    held_out = torch.arange(len(labels)) % HELD_OUT == 0
    training, validation = (
        Examples(Pictures(images[rows].to(compute.device), spec), labels[rows].to(compute.device))
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
    plan = Plan(recipe, resolve(network, ("all",)), task.epochs, task.batch_size, params.seed)
    with epochs_bar("pretrain", task.epochs) as advance, without_dynamo():
        history = train(network, plan, training, validation, compute, advance)
    state = {
        name: tensor.cpu()
        for name, tensor in network.state_dict().items()
        if not name.startswith(spec.head_parameter_prefix)
    }
    origin = f"pretrain ({task.subjects} synthetic identities, {history[-1].val_accuracy:.1%})"
    return SourceWeights(state, params.model.backbone, origin, mean, deviation)


def _source_task(params: Params) -> tuple[torch.Tensor, torch.Tensor]:
    """(N, 3, S, S) uint8 pictures and (N,) int64 identities."""
    task = params.pretrain
    pixels = render_source(
        task.subjects, task.images_per_subject, params.data.image_size, params.seed
    )
    images = torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))
    labels = torch.arange(task.subjects).repeat_interleave(task.images_per_subject)
    return images, labels


def _statistics(images: torch.Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of each channel, of pixels scaled to [0, 1]; rounded to be readable."""
    pixels = images[:1000].float() / 255
    mean, deviation = pixels.mean((0, 2, 3)), pixels.std((0, 2, 3))
    return (
        tuple(round(value, 4) for value in mean.tolist()),
        tuple(round(value, 4) for value in deviation.tolist()),
    )
