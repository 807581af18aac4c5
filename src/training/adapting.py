"""Features of a frozen backbone whose BatchNorm adapts: the published system's Baseline.

Batch statistics make an image's features depend on the batch it is in, and running statistics
drift, so nothing can be computed once per image. It can be computed once per (seed, batch size,
epoch), though, for the head has no say in it: every head with the same seed and batch size sees
the same features. They are kept in a scratch file, which a longer run extends.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from src.data.faceset import FaceSet, MappedImages, Split
from src.models.classifier import at_once
from src.models.network import ModelSpec, Network, views
from src.progress import tracked
from src.tensors import MALFORMED, load_tensors, save_tensors
from src.training.device import Compute
from src.training.inputs import ImageInputs
from src.training.order import epoch_order, seeded
from src.training.scratch import optional_write

SECONDS_BETWEEN = 60.0  # writes of the scratch file


@dataclass(frozen=True)
class AdaptingFeatures:
    """Features per epoch: (E, N, D) and (E, M, D), in the compute dtype to save space.

    `statistics` holds every BatchNorm buffer after each epoch, as (E, ...).
    """

    values: Tensor
    val_values: Tensor
    labels: Tensor
    val_labels: Tensor
    statistics: dict[str, Tensor]

    def training(self, epoch: int) -> Tensor:
        """(1, N, D) float32 of the epoch, numbered from 1; flips are already in it."""
        return self.values[epoch - 1 : epoch].float()

    def validation(self, epoch: int) -> Tensor:
        """(M, D) float32, with the running statistics as they were after the epoch."""
        return self.val_values[epoch - 1].float()

    def buffers_after(self, epoch: int) -> dict[str, Tensor]:
        """The backbone's BatchNorm statistics as they were after the epoch."""
        return {name: rows[epoch - 1] for name, rows in self.statistics.items()}


@dataclass(frozen=True)
class BatchSchedule:
    """Which batches of training images the backbone sees, and for how many epochs."""

    seed: int
    batch_size: int
    epochs: int
    flip: bool


def adapting_features(
    faces: FaceSet,
    network: Network,
    spec: ModelSpec,
    schedule: BatchSchedule,
    compute: Compute,
    scratch: Path,
) -> AdaptingFeatures:
    """Run the frozen backbone in training mode through every epoch, or resume from a scratch file.

    The name of `scratch` must encode all that the features depend on, except the epochs.
    """
    mapped, labels = faces.mapped(Split.train)
    val_mapped, val_labels = faces.mapped(Split.val)
    images, val_images = mapped.to(compute.device), val_mapped.to(compute.device)
    names = [name for name, _ in network.named_buffers()]
    like = {
        "values": _empty_features(network, len(images), compute.dtype, torch.device("meta")),
        "val_values": _empty_features(
            network, len(val_images), compute.dtype, torch.device("meta")
        ),
        **dict(network.named_buffers()),
    }
    stored = _load(scratch, like)
    done = len(stored["values"]) if stored else 0
    epochs = [stored] if stored else []
    if stored:
        network.load_state_dict({name: stored[name][-1] for name in names}, strict=False)
    pending = range(done + 1, schedule.epochs + 1)
    saved = time.monotonic()
    for number in tracked(pending, "backbone, adapting"):
        values = _training_pass(network, ImageInputs(images, spec), schedule, number, compute)
        val_values = _validation_pass(network, val_images, spec, compute)
        buffers = {name: network.get_buffer(name).detach().cpu().clone() for name in names}
        epoch = {"values": values.cpu(), "val_values": val_values.cpu(), **buffers}
        epochs.append({name: tensor[None] for name, tensor in epoch.items()})
        if number == schedule.epochs or time.monotonic() - saved > SECONDS_BETWEEN:
            _save(scratch, epochs)
            saved = time.monotonic()
    joined = _joined(epochs)
    return AdaptingFeatures(
        joined["values"].to(compute.device),
        joined["val_values"].to(compute.device),
        labels.to(compute.device),
        val_labels.to(compute.device),
        {name: joined[name] for name in names},
    )


@torch.no_grad()
def _training_pass(
    network: Network,
    inputs: ImageInputs,
    schedule: BatchSchedule,
    number: int,
    compute: Compute,
) -> Tensor:
    network.train()
    rows, views = epoch_order(schedule.seed, number, len(inputs), schedule.flip)
    rows, views = rows.to(compute.device), views.to(compute.device)
    values = _empty_features(network, len(inputs), compute.dtype, compute.device)
    batches = (torch.split(rows, schedule.batch_size), torch.split(views, schedule.batch_size))
    with seeded(compute.device, schedule.seed, number):  # stochastic depth; as in the whole loop
        for part, view in zip(*batches, strict=True):
            with compute.autocast():
                outputs = network.run(inputs.batch(part, view), 0, len(network.blocks))
            values[part] = outputs.to(compute.dtype)
    return values


@torch.no_grad()
def _validation_pass(
    network: Network, images: Tensor | MappedImages, spec: ModelSpec, compute: Compute
) -> Tensor:
    network.eval()
    values = _empty_features(network, len(images), compute.dtype, compute.device)
    size = at_once(spec.input_size)
    for start in range(0, len(images), size):
        with compute.autocast():
            part = views(images[start : start + size], spec)
            values[start : start + size] = network.answer(part)
    return values


def _empty_features(
    network: Network, images: int, dtype: torch.dtype, device: torch.device
) -> Tensor:
    """(N, features), allocated at once: small results kept between large maps fragment memory."""
    return torch.empty(images, network.backbone.features, dtype=dtype, device=device)


def _joined(epochs: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.cat([row[name] for row in epochs]) for name in epochs[0]}


def _save(path: Path, epochs: list[dict[str, Tensor]]) -> None:
    with optional_write(path):
        save_tensors(path, _joined(epochs))


def _load(path: Path, like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Epochs of every tensor in `like`; empty if the file is damaged or does not match."""
    try:
        tensors, _ = load_tensors(path)
    except MALFORMED:
        return {}
    epochs = len(tensors.get("values", ()))
    given = {name: (tensor.dtype, tensor.shape) for name, tensor in tensors.items()}
    wanted = {name: (tensor.dtype, (epochs, *tensor.shape)) for name, tensor in like.items()}
    return tensors if epochs and given == wanted else {}
