"""Features: the frozen backbone's pooled outputs, computed once and shared by every head."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from src.data.faceset import FaceSet, Split
from src.errors import StaleInputError
from src.models.network import ModelSpec, Network
from src.tensors import MALFORMED, load_tensors, save_tensors
from src.training.device import Compute
from src.training.inputs import ImageInputs
from src.training.prefix import BATCH, folded


@dataclass(frozen=True)
class FeatureProvenance:
    """What features were computed from; they are reused only where all of it is the same."""

    faces: str  # digest of the packed dataset
    source: str  # digest of the source weights
    batchnorm: str
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    backbone: str
    stem: str
    dtype: str  # what the backbone was run in, which `auto` resolves to by machine
    crop: int | None = None


@dataclass(frozen=True)
class BlockFeatures:
    """One block's output, averaged over its map.

    values: (views, N, D) float32 of training images, view 1 of the flipped ones.
    val_values: (views, M, D) float32, likewise of validation images, in as many views as answer.
    """

    values: Tensor
    val_values: Tensor


@dataclass(frozen=True)
class Features:
    """Features of training and validation images; the test split is not among them.

    blocks: every block's, in the order they run; heads read the last's, or the one chosen by
    `at`. labels: (N,) int64. val_labels: (M,) int64. buffers: the backbone's BatchNorm
    statistics, where `recalibrate` changed them. key: names all that decides these bits, the code
    and the machine among it. flip_test: whether validation images have the mean over views.
    """

    blocks: dict[str, BlockFeatures]
    labels: Tensor
    val_labels: Tensor
    buffers: dict[str, Tensor]
    subjects: tuple[str, ...]
    provenance: FeatureProvenance
    key: str
    flip_test: bool = False

    @property
    def values(self) -> Tensor:
        """(views, N, D) float32: the last block's, of training images."""
        return next(reversed(self.blocks.values())).values

    @property
    def val_values(self) -> Tensor:
        """(M, D) float32: the last block's, of validation images, as the head answers them."""
        values = next(reversed(self.blocks.values())).val_values
        return values.mean(0) if self.flip_test else values[0]

    def shows(self, views: int, val_views: int) -> bool:
        """Whether every training and every validation image has at least so many views."""
        pooled = next(reversed(self.blocks.values()))
        return len(pooled.values) >= views and len(pooled.val_values) >= val_views

    def at(self, block: str | None, *, flip_test: bool = False) -> Features:
        """The features of a network that ends in `block`; None for the whole."""
        names = list(self.blocks)
        kept = names[: names.index(block) + 1] if block else names
        blocks = {name: self.blocks[name] for name in kept}
        return replace(self, blocks=blocks, flip_test=flip_test)

    def training(self, _epoch: int) -> Tensor:
        """(views, N, D): the same in every epoch."""
        return self.values

    def validation(self, _epoch: int) -> Tensor:
        """(M, D): the same in every epoch."""
        return self.val_values

    def buffers_after(self, _epoch: int) -> dict[str, Tensor]:
        """The backbone's BatchNorm statistics; empty if they are those of the source weights."""
        return self.buffers

    def to(self, device: torch.device) -> Features:
        """The same features on another device."""
        return replace(
            self,
            blocks={
                name: BlockFeatures(pooled.values.to(device), pooled.val_values.to(device))
                for name, pooled in self.blocks.items()
            },
            labels=self.labels.to(device),
            val_labels=self.val_labels.to(device),
        )

    def save(self, path: Path) -> None:
        """Write atomically as safetensors."""
        tensors = {
            "labels": self.labels,
            "val_labels": self.val_labels,
            **{f"train:{name}": pooled.values for name, pooled in self.blocks.items()},
            **{f"val:{name}": pooled.val_values for name, pooled in self.blocks.items()},
            **{f"buffer:{name}": tensor for name, tensor in self.buffers.items()},
        }
        made = {key: value for key, value in asdict(self.provenance).items() if value is not None}
        facts = {
            "subjects": self.subjects,
            "blocks": list(self.blocks),
            "made": made,
            "key": self.key,
        }
        save_tensors(path, tensors, features=facts)

    @classmethod
    def load(cls, path: Path) -> Features:
        """Read a file that `save` wrote; raises StaleInputError where it is not one."""
        try:
            tensors, metadata = load_tensors(path)
            return cls._of(json.loads(metadata["features"]), tensors)
        except MALFORMED:
            raise StaleInputError(
                str(path), "not a feature file of this version", "run `dvc repro embed` to make it"
            ) from None

    @classmethod
    def _of(cls, facts: dict[str, Any], tensors: dict[str, Tensor]) -> Features:
        blocks = {
            name: BlockFeatures(tensors[f"train:{name}"], tensors[f"val:{name}"])
            for name in facts["blocks"]
        }
        buffers = {
            name.removeprefix("buffer:"): tensor
            for name, tensor in tensors.items()
            if name.startswith("buffer:")
        }
        made = facts["made"]
        per_channel = {key: tuple(made[key]) for key in ("mean", "deviation")}
        labels, val_labels = tensors["labels"], tensors["val_labels"]
        subjects = tuple(facts["subjects"])
        return cls(
            blocks,
            labels,
            val_labels,
            buffers,
            subjects,
            FeatureProvenance(**made | per_channel),
            facts["key"],
        )


def embed(
    faces: FaceSet,
    network: Network,
    spec: ModelSpec,
    views: int,
    val_views: int,
    provenance: FeatureProvenance,
    key: str,
    compute: Compute,
) -> Features:
    """Run the frozen backbone once; its BatchNorm statistics must be final.

    views, val_views: of each training and each validation image.
    """
    images, labels = faces.mapped(Split.train)
    val_images, val_labels = faces.mapped(Split.val)
    prefix = folded(network, compute.dtype)
    values, val_values = (
        _pooled(prefix, ImageInputs(each.to(compute.device), spec), number, compute.dtype)
        for each, number in ((images, views), (val_images, val_views))
    )
    blocks = {name: BlockFeatures(values[name], val_values[name]) for name in network.blocks}
    buffers = {
        name: buffer
        for name, buffer in network.named_buffers()
        if provenance.batchnorm == "recalibrate" and not name.startswith(spec.head_parameter_prefix)
    }
    labels, val_labels = labels.to(compute.device), val_labels.to(compute.device)
    return Features(blocks, labels, val_labels, buffers, faces.subjects, provenance, key)


@torch.no_grad()
def _pooled(
    prefix: Network, inputs: ImageInputs, views: int, dtype: torch.dtype
) -> dict[str, Tensor]:
    """Each block's (views, N, D) float32."""
    found: dict[str, Tensor] = {}
    rows = torch.arange(len(inputs), device=inputs.images.device)
    for view in range(views):
        for part in torch.split(rows, BATCH):
            x = inputs.batch(part, torch.full_like(part, view)).to(dtype)
            for index, name in enumerate(prefix.blocks):
                x = prefix.run(x, index, index + 1)
                mean = functional.adaptive_avg_pool2d(x, 1).flatten(1) if x.ndim == 4 else x
                if name not in found:
                    # All at once: results kept one by one between the large maps that come and
                    # go leave holes that no later map fits, until memory is full of them.
                    found[name] = torch.empty(views, len(rows), mean.shape[1], device=x.device)
                found[name][view, part] = mean.float()
    return found
