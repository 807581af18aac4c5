"""Features: the frozen backbone's pooled output, computed once and shared by every head."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from src.data.faceset import FaceSet, Split
from src.errors import StaleInputError
from src.files import atomic
from src.models.network import ModelSpec, Network
from src.training.device import Compute
from src.training.inputs import Pictures
from src.training.prefix import cache_prefix


@dataclass(frozen=True)
class Made:
    """What features were made from; features are used only where it is all the same."""

    faces: str  # digest of the packed dataset
    source: str  # digest of the source weights
    batchnorm: str
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    backbone: str
    stem: str
    crop: int | None = None
    last: str | None = None


@dataclass(frozen=True)
class Features:
    """Features of training and validation images; the test split is not among them.

    values: (views, N, D) float32, view 1 of the flipped images. labels: (N,) int64.
    val_values: (M, D) float32. val_labels: (M,) int64. buffers: the backbone's BatchNorm
    statistics, where `recalibrate` changed them.
    """

    values: Tensor
    labels: Tensor
    val_values: Tensor
    val_labels: Tensor
    buffers: dict[str, Tensor]
    subjects: tuple[str, ...]
    made: Made

    def training(self, _epoch: int) -> Tensor:
        """(views, N, D): the same in every epoch."""
        return self.values

    def validation(self, _epoch: int) -> Tensor:
        """(M, D): the same in every epoch."""
        return self.val_values

    def buffers_after(self, _epoch: int) -> dict[str, Tensor]:
        """What the backbone's BatchNorm statistics became; empty where they are the source's."""
        return self.buffers

    def to(self, device: torch.device) -> Features:
        """The same features on another device."""
        moved = {
            name: getattr(self, name).to(device)
            for name in ("values", "labels", "val_values", "val_labels")
        }
        return Features(**moved, buffers=self.buffers, subjects=self.subjects, made=self.made)

    def save(self, path: Path) -> None:
        """Write atomically as safetensors."""
        tensors = {
            "values": self.values,
            "labels": self.labels,
            "val_values": self.val_values,
            "val_labels": self.val_labels,
            **{f"buffer:{name}": tensor for name, tensor in self.buffers.items()},
        }
        made = {key: value for key, value in asdict(self.made).items() if value is not None}
        facts = {"subjects": self.subjects, "made": made}
        with atomic(path) as temporary:
            save_file(
                {name: tensor.cpu().contiguous() for name, tensor in tensors.items()},
                temporary,
                metadata={"features": json.dumps(facts)},
            )

    @classmethod
    def load(cls, path: Path) -> Features:
        """Read a file that `save` wrote; raises StaleInputError where it is not one."""
        try:
            with safe_open(path, framework="pt") as file:
                facts = json.loads((file.metadata() or {})["features"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError, KeyError, ValueError):
            raise StaleInputError(
                str(path), "not a feature file", "run `dvc repro embed` to make it"
            ) from None
        buffers = {
            name.removeprefix("buffer:"): tensors.pop(name)
            for name in list(tensors)
            if name.startswith("buffer:")
        }
        made = facts["made"]
        for key in ("mean", "deviation"):
            made[key] = tuple(made[key])
        return cls(**tensors, buffers=buffers, subjects=tuple(facts["subjects"]), made=Made(**made))


def embed(
    faces: FaceSet, network: Network, spec: ModelSpec, flip: bool, made: Made, compute: Compute
) -> Features:
    """One pass of the frozen backbone, whose statistics are as they should stay."""
    images, labels = faces.part(Split.train)
    val_images, val_labels = faces.part(Split.val)
    stop = len(network.blocks)

    def run(pixels: Tensor, views: int) -> Tensor:
        pictures = Pictures(pixels.to(compute.device), spec)
        cached = cache_prefix(network, stop, pictures, views, compute, fraction=1.0)
        assert cached is not None  # noqa: S101  # features are far smaller than activations
        return cached.values.float()

    values, val_values = run(images, 2 if flip else 1), run(val_images, 1)[0]
    buffers = dict(network.named_buffers()) if made.batchnorm == "recalibrate" else {}
    return Features(values, labels, val_values, val_labels, buffers, faces.subjects, made).to(
        compute.device
    )
