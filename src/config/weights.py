"""Where source weights come from: one path, to a file of tensors or to an origin file.

An origin file is a small YAML file, as for `data.origin`. Its `kind` chooses a class of SOURCES,
whose fields are the other keys; `pipelines/weights.py` has what each kind does.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import Field

from src.config.section import Count, NonNegative, Positive, Section, read_yaml, validate
from src.errors import ConfigError


class Weights(Section):
    """The source network's weights."""

    origin: str = Field(min_length=1)
    """An origin file (.yaml), a .safetensors file or a torch checkpoint."""


class Source(Section):
    """Keys of every origin file of weights."""

    kind: str
    """Which of the kinds of origin this is."""
    licence: str = Field(min_length=1)
    """The terms on which the weights may be used."""


class Imagenet(Source):
    """torchvision's ImageNet weights, downloaded once and kept where torch.hub keeps them."""

    kind: Literal["imagenet"]


class Scratch(Source):
    """torchvision's initialisation from `seed`: the control that was never pretrained."""

    kind: Literal["scratch"]


class Pretrain(Source):
    """A source task made here: naming what shares nothing with the target."""

    kind: Literal["pretrain"]
    task: Literal["faces", "objects"] = "faces"
    """What the network learns to name: synthetic identities, or kinds of objects."""
    image_size: Annotated[int, Field(ge=16, le=1024)] | None = None
    """Width and height in pixels; null takes the target's."""
    subjects: Annotated[int, Field(ge=2)]
    """Number of classes."""
    images_per_subject: Count
    """Images of each class."""
    epochs: Count
    """Passes over the images."""
    batch_size: Count
    """Images per step."""
    learning_rate: Positive
    """The peak learning rate."""
    weight_decay: NonNegative
    """Weight decay, never applied to norms or biases."""


SOURCES: Mapping[str, type[Source]] = MappingProxyType(
    {"imagenet": Imagenet, "pretrain": Pretrain, "scratch": Scratch}
)


def read_source(path: Path) -> Source:
    """Read an origin file of weights; raises ConfigError that lists the valid kinds or keys."""
    raw = read_yaml(path)
    kind = raw.get("kind") if isinstance(raw, dict) else None
    if not isinstance(kind, str) or kind not in SOURCES:
        mend = f"use one of {', '.join(SOURCES)} (origin files of images belong in data.origin)"
        raise ConfigError(f"{path}: kind", f"is {kind!r}", mend)
    fields = SOURCES[kind].model_fields
    if unknown := [str(key) for key in raw if key not in fields]:
        what = f"{', '.join(unknown)} is not a key of {kind}"
        raise ConfigError(str(path), what, f"use {', '.join(fields)}")
    return validate(SOURCES[kind], raw, str(path))
