"""A torchvision network with a new head, callable from any block to any block."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from math import isfinite
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, TypeAdapter
from torch import Tensor, nn
from torch.nn import functional as F

from src.config.head import Head
from src.config.section import Count, Positive
from src.errors import WeightsError
from src.models.backbones import BACKBONES
from src.models.convolutions import speed_up_convolutions
from src.models.head import NeighbourHead, build_head
from src.models.imports import without_dynamo
from src.models.layout import differences, not_finite, some
from src.models.uninitialized import without_values
from src.tensors import MALFORMED, load_tensors, save_tensors

Norm = nn.modules.batchnorm._BatchNorm
Side = Annotated[int, Field(ge=1, le=16384)]
COLDEST, HOTTEST = 0.05, 20.0  # temperatures


# The keys of a stored specification; their order is part of a model file's bytes.
STORED = (
    *("backbone", "stem", "image_size", "subjects", "hidden", "dropout", "mean", "deviation"),
    *("crop", "last", "kind", "stored", "fit", "temperature", "flip_test"),
)


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """What is needed to rebuild a trained network and prepare its inputs; stored with it.

    `mean` and `deviation` are per channel, of images scaled to [0, 1]; zeros and ones where
    the network was trained without normalisation. Sizes are in pixels: images come with
    sides of `image_size`, of which the network takes the middle `crop`, or all where it is None.
    Probabilities are those of logits divided by `temperature` (`src.training.temperature`). With
    `flip_test`, the head reads the mean of the features of an image and of the flipped one.
    """

    backbone: str
    stem: Literal["standard", "stride1"]
    image_size: Side
    subjects: Annotated[tuple[str, ...], Field(min_length=1)]
    head: Head = field(default_factory=Head)
    mean: Annotated[tuple[float, ...], Field(min_length=3, max_length=3)] = (0.0, 0.0, 0.0)
    deviation: Annotated[tuple[Positive, ...], Field(min_length=3, max_length=3)] = (1.0, 1.0, 1.0)
    crop: Side | None = None
    last: str | None = None  # the block whose output the head reads; None for the last there is
    stored: Count | None = None  # training images that a k-nearest-neighbours head keeps
    fit: Literal["crop", "stretch", "pad"] = "crop"  # how images become square, as `data.fit` said
    temperature: Annotated[float, Field(ge=COLDEST, le=HOTTEST)] = 1.0
    flip_test: bool = False

    @property
    def input_size(self) -> int:
        """Width and height of the network's input: the image's, or its centre crop's."""
        return self.crop or self.image_size

    @property
    def head_parameter_prefix(self) -> str:
        """The prefix of the head's parameter names, for instance `fc.`."""
        return f"{BACKBONES[self.backbone].head}."

    def stored_form(self) -> dict[str, Any]:
        """The form in model files: flat, in the order of `STORED`, without fields that are None.

        Nor do a temperature of 1 and a `flip_test` of False stand there, so that files from before
        there were any are equal.
        """
        flat = vars(self) | self.head.model_dump() | {"dropout": self.head.rates}
        flat["temperature"] = None if self.temperature == 1 else self.temperature
        flat["flip_test"] = self.flip_test or None
        return {key: flat[key] for key in STORED if flat[key] is not None}

    @classmethod
    def from_stored_form(cls, raw: Mapping[str, Any]) -> ModelSpec:
        """The inverse of `stored_form`; raises TypeError or ValueError where it is not one."""
        flat = dict(raw)
        head = {key: flat.pop(key) for key in Head.model_fields if key in flat}
        if unknown := flat.keys() - {*STORED}:
            raise ValueError(f"unknown keys: {unknown}")
        spec = _STORED.validate_json(json.dumps({**flat, "head": head}), strict=True)
        blocks = BACKBONES[spec.backbone].blocks if spec.backbone in BACKBONES else {}
        if spec.input_size > spec.image_size or not {spec.last} <= {None, *blocks}:
            raise ValueError("a crop larger than the image, or no such block")
        if any(not isfinite(each) for each in (*spec.mean, *spec.deviation)):
            raise ValueError("a mean or deviation that is not finite")
        return spec


_STORED: TypeAdapter[ModelSpec] = TypeAdapter(ModelSpec)


def build_backbone(name: str, stem: str) -> nn.Module:
    """torchvision's network with random weights, the stem asked for, and no classifier."""
    with without_dynamo():
        from torchvision import models

    network: nn.Module = models.get_model(name, weights=None)
    network.set_submodule(BACKBONES[name].head, nn.Identity())
    speed_up_convolutions(network)
    if stem == "stride1":
        for path in BACKBONES[name].stem_strides:
            network.get_submodule(path).stride = (1, 1)  # type: ignore[assignment]
    return network


class Network(nn.Module):
    """torchvision's modules under their own names, run block by block.

    Blocks are numbered from the image: `blocks[0]` is the stem, `len(blocks)` the head. Global
    average pooling belongs to the last block, so `run(x, 0, len(blocks))` gives (N, features).
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        whole = BACKBONES[spec.backbone]
        built = build_backbone(spec.backbone, spec.stem)
        self.backbone = whole.up_to(spec.last, built) if spec.last else whole
        self.blocks = tuple(self.backbone.blocks)
        for name, child in built.named_children():
            self.add_module(name, child)
        for name in whole.blocks.keys() - self.backbone.blocks.keys():
            for path in whole.blocks[name]:
                self.set_submodule(path, nn.Identity())
        features, classes = self.backbone.features, len(spec.subjects)
        head = build_head(spec.head, features, classes, spec.stored or 0)
        self.set_submodule(self.backbone.head, head)

    @property
    def head(self) -> nn.Module:
        """The classifier that turns (N, features) into (N, classes) logits."""
        return self.get_submodule(self.backbone.head)

    def block(self, name: str) -> list[nn.Module]:
        """The modules of one block, in the order they run; `head` is a block here."""
        if name == "head":
            return [self.head]
        return [self.get_submodule(path) for path in self.backbone.blocks[name]]

    def run(self, x: Tensor, start: int, stop: int) -> Tensor:
        """Blocks `start` up to, not including, `stop`; pooled after the last block."""
        for name in self.blocks[start:stop]:
            for module in self.block(name):
                x = module(x)
        if start < len(self.blocks) <= stop:
            x = F.adaptive_avg_pool2d(x, 1).flatten(1)
        return x

    def answer(self, views: Iterable[Tensor], start: int = 0) -> Tensor:
        """(N, D) features that the head reads for an answer: the mean over views of N images.

        Views are normalised images, or outputs of block `start - 1`.
        """
        return mean_of([self.run(view, start, len(self.blocks)) for view in views])

    def forward(self, x: Tensor, start: int = 0) -> Tensor:
        """(N, classes) logits of normalised images, or of the output of block `start - 1`."""
        logits: Tensor = self.head(self.run(x, start, len(self.blocks)))
        return logits


def save_network(path: Path, state: Mapping[str, Tensor], spec: ModelSpec) -> None:
    """Write weights and spec atomically as safetensors; equal inputs give equal bytes."""
    save_tensors(path, state, spec=spec.stored_form())


def load_state(path: Path) -> tuple[dict[str, Tensor], ModelSpec]:
    """Weights and spec of a file that `save_network` wrote; raises WeightsError otherwise."""
    try:
        state, metadata = load_tensors(path)
        return state, ModelSpec.from_stored_form(json.loads(metadata["spec"]))
    except MALFORMED:
        raise WeightsError(
            str(path), "not a trained network of this project", "run `dvc repro` to make it"
        ) from None


def load_network(path: Path) -> tuple[Network, ModelSpec]:
    """A trained network in evaluation mode; raises WeightsError."""
    state, spec = load_state(path)
    return build_network(state, spec, str(path)), spec


def build_network(state: Mapping[str, Tensor], spec: ModelSpec, where: str) -> Network:
    """A network in evaluation mode made of the tensors of `state`, without copying them.

    Raises WeightsError about `where` unless they are all there, of the right shapes and types, and
    finite.
    """
    if spec.backbone not in BACKBONES:
        raise WeightsError(where, f"unknown backbone {spec.backbone!r}", "train it again")
    # Without memory of its own: seeds share what they have in common.
    with without_values():
        network = Network(spec)
    layout = network.state_dict()
    if wrong := differences(layout, state):
        raise WeightsError(where, f"not the weights of its network ({wrong})", "train it again")
    if other := sorted(name for name in layout if layout[name].dtype != state[name].dtype):
        raise WeightsError(where, f"of another type: {some(other)}", "train it again")
    if broken := not_finite(state):
        raise WeightsError(where, f"not finite: {some(broken)}", "train it again")
    network.load_state_dict(state, assign=True)
    if isinstance(network.head, NeighbourHead) and not network.head.sound:
        raise WeightsError(where, "its nearest neighbours are out of range", "train it again")
    return network.eval()


def mean_of(views: Sequence[Tensor]) -> Tensor:
    """The mean of tensors of one shape; of one, itself."""
    return torch.stack(tuple(views)).mean(0) if len(views) > 1 else views[0]


def views(images: Tensor, spec: ModelSpec) -> Iterator[Tensor]:
    """The normalised images that an answer takes into account: also flipped if `flip_test`.

    The mean of both views' features is customary in face verification (Deng et al., ArcFace, 2019).
    """
    yield normalize(images, spec)
    if spec.flip_test:
        yield normalize(images.flip(3), spec)


def normalize(images: Tensor, spec: ModelSpec) -> Tensor:
    """(N, 3, S, S) uint8 to the network's input: the centre crop, standardised; channels last."""
    return standardize(centre(images, spec), spec)


def centre(images: Tensor, spec: ModelSpec) -> Tensor:
    """(N, 3, S, S) uint8 to the (N, 3, H, H) float32 in [0, 1] centre crop that evaluation uses."""
    margin = (images.shape[-1] - spec.input_size) / 2
    if margin > 0:
        top = round(margin)  # as torchvision's CenterCrop rounds
        images = images[..., top : top + spec.input_size, top : top + spec.input_size]
    return images.to(memory_format=torch.channels_last).float().div_(255)


def standardize(images: Tensor, spec: ModelSpec) -> Tensor:
    """Standardise (N, 3, H, H) float32 images in [0, 1] per channel, in place."""
    mean, deviation = (per_channel(each, images.device) for each in (spec.mean, spec.deviation))
    return images.sub_(mean).div_(deviation)


@cache
def per_channel(values: tuple[float, ...], device: torch.device) -> Tensor:
    """(C, 1, 1) float32, sent to the device once: sending it for every batch makes a GPU wait."""
    with torch.inference_mode(False):
        return torch.tensor(values, device=device).view(-1, 1, 1)
