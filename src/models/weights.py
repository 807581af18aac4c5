"""Source weights: the weights of a backbone before fine-tuning."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from src.errors import WeightsError
from src.models.backbones import BACKBONES
from src.models.layout import differences, not_finite, some
from src.models.network import Network, build_backbone
from src.models.uninitialized import without_values
from src.tensors import MALFORMED, load_tensors, save_tensors

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class SourceWeights:
    """A backbone's parameters and buffers (float32), without any classifier.

    `mean` and `deviation` are those that the weights expect, per channel, of images scaled to
    [0, 1]. `origin` describes where the weights come from, `licence` the terms of their use.
    """

    state: Mapping[str, Tensor]
    backbone: str
    origin: str
    licence: str = "unknown"
    mean: tuple[float, ...] = IMAGENET_MEAN
    deviation: tuple[float, ...] = IMAGENET_DEVIATION

    def save(self, path: Path) -> None:
        """Write atomically as safetensors."""
        facts = {
            "backbone": self.backbone,
            "origin": self.origin,
            "licence": self.licence,
            "mean": self.mean,
            "deviation": self.deviation,
        }
        save_tensors(path, self.state, source=facts)

    def halved(self) -> SourceWeights:
        """The same with matrices in half precision; what is kept per channel is small anyway."""
        state = {
            name: tensor.half() if tensor.ndim > 1 else tensor
            for name, tensor in self.state.items()
        }
        return replace(self, state=state)

    @classmethod
    def load(cls, path: Path) -> SourceWeights:
        """Read a file that `save` wrote; raises WeightsError, naming the tensors that are wrong."""
        mend = "run `dvc repro weights` to make them"
        try:
            state, metadata = load_tensors(path)
            facts = json.loads(metadata["source"])
            mean, deviation = tuple(facts["mean"]), tuple(facts["deviation"])
            source = cls(
                state, facts["backbone"], facts["origin"], facts["licence"], mean, deviation
            )
        except MALFORMED:
            raise WeightsError(str(path), "not source weights", mend) from None
        check_complete(state, source.backbone, str(path), mend)
        return source


def random_weights(backbone: str, seed: int) -> SourceWeights:
    """torchvision's own initialization, from `seed`: the control that was never pretrained."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build_backbone(backbone, "standard")
    return SourceWeights(network.state_dict(), backbone, "scratch")


@cache
def layout_of(backbone: str) -> Mapping[str, Tensor]:
    """A backbone's tensors on the meta device: names, shapes and types without data."""
    with without_values():
        return build_backbone(backbone, "standard").state_dict()


def check_complete(state: Mapping[str, Tensor], backbone: str, where: str, mend: str) -> None:
    """Raise WeightsError, naming tensors, unless `state` is a whole backbone and finite."""
    check_layout(state, backbone, where, mend)
    if broken := not_finite(state):
        raise WeightsError(where, f"not finite: {some(broken)}", mend)


def check_layout(state: Mapping[str, Tensor], backbone: str, where: str, mend: str) -> None:
    """Raise WeightsError, naming tensors, unless `state` has the tensors of `backbone`."""
    if backbone not in BACKBONES:
        raise WeightsError(where, f"weights of an unknown backbone, {backbone!r}", mend)
    if wrong := differences(layout_of(backbone), state):
        raise WeightsError(where, f"not the weights of a {backbone} ({wrong})", mend)


def load_source(network: Network, source: SourceWeights) -> None:
    """Copy source weights into a network, leaving its head as it is.

    Weights of blocks that the network does not have are ignored. Raises WeightsError, and leaves
    the network unchanged, where the source is of another backbone or incomplete.
    """
    name = network.backbone.name
    where, mend = f"source weights, {source.origin}", "run `dvc repro weights` to make them again"
    if source.backbone != name:
        raise WeightsError(
            where,
            f"weights of a {source.backbone}, where the network is a {name}",
            f"run `dvc repro weights`, or set model.backbone to {source.backbone}",
        )
    check_layout(source.state, name, where, mend)
    network.load_state_dict(
        source.state, strict=False
    )  # the network has a head, the source may have more blocks
