"""Where source weights come from: one path, to a file of tensors or to a recipe.

A recipe is a small YAML file, as those of `data.origin` are. `kind` chooses a class of SOURCES, the
other keys are its fields; `pipelines/weights.py` has what each kind does.
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

    origin: str = Field(min_length=1)  # a recipe (.yaml), .safetensors, or a torch checkpoint


class Source(Section):
    """What every recipe of weights says."""

    kind: str
    licence: str = Field(min_length=1)  # on whose terms the weights may be used


class Imagenet(Source):
    """torchvision's ImageNet weights, downloaded once and kept where torch.hub keeps them."""

    kind: Literal["imagenet"]


class Scratch(Source):
    """torchvision's initialisation from `seed`: the control that was never pretrained."""

    kind: Literal["scratch"]


class Pretrain(Source):
    """A source task made here: naming what shares nothing with the target."""

    kind: Literal["pretrain"]
    task: Literal["faces", "objects"] = "faces"  # synthetic identities, or kinds of objects
    image_size: Annotated[int, Field(ge=16, le=1024)] | None = None  # pixels; null as the target's
    subjects: Annotated[int, Field(ge=2)]
    images_per_subject: Count
    epochs: Count
    batch_size: Count
    learning_rate: Positive
    weight_decay: NonNegative


SOURCES: Mapping[str, type[Source]] = MappingProxyType(
    {"imagenet": Imagenet, "pretrain": Pretrain, "scratch": Scratch}
)


def read_source(path: Path) -> Source:
    """A recipe of weights; raises ConfigError that lists the kinds or keys there are."""
    raw = read_yaml(path)
    kind = raw.get("kind") if isinstance(raw, dict) else None
    if not isinstance(kind, str) or kind not in SOURCES:
        mend = f"use one of {', '.join(SOURCES)} (recipes of pictures belong to data.origin)"
        raise ConfigError(f"{path}: kind", f"is {kind!r}", mend)
    fields = SOURCES[kind].model_fields
    if unknown := [str(key) for key in raw if key not in fields]:
        what = f"{', '.join(unknown)} is not a key of {kind}"
        raise ConfigError(str(path), what, f"use {', '.join(fields)}")
    return validate(SOURCES[kind], raw, str(path))
