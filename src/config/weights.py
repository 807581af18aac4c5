"""Where source weights come from: a file of tensors, or an origin file that says how to make them.

`pipelines/weights.py` does what each kind of origin file says.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import Field

from src.config.origin_file import read_origin_file
from src.config.section import Count, NonNegative, Positive, Section


class Weights(Section):
    """The source network's weights."""

    origin: str = Field(min_length=1)  # an origin file (.yaml), .safetensors, or a checkpoint


class WeightsOrigin(Section):
    """The keys that every kind of origin file for weights has."""

    kind: str
    licence: str = Field(min_length=1)  # the terms under which the weights may be used


class ImagenetWeights(WeightsOrigin):
    """torchvision's ImageNet weights, downloaded once into torch.hub's cache."""

    kind: Literal["imagenet"]


class RandomWeights(WeightsOrigin):
    """torchvision's initialisation from `seed`: the control that was never pretrained."""

    kind: Literal["scratch"]


class SourceTask(WeightsOrigin):
    """Pretraining on images rendered here, none of which shares a subject with the target."""

    kind: Literal["pretrain"]
    task: Literal["faces", "objects"] = "faces"  # what is classified: identities, or kinds
    image_size: Annotated[int, Field(ge=16, le=1024)] | None = None  # null for data.image_size
    subjects: Annotated[int, Field(ge=2)]
    images_per_subject: Count
    epochs: Count
    batch_size: Count
    learning_rate: Positive
    weight_decay: NonNegative


WEIGHTS_ORIGINS: Mapping[str, type[WeightsOrigin]] = MappingProxyType(
    {"imagenet": ImagenetWeights, "pretrain": SourceTask, "scratch": RandomWeights}
)


def read_weights_origin(path: Path) -> WeightsOrigin:
    """An origin file for weights; raises ConfigError listing the known kinds or keys."""
    return read_origin_file(
        path, WEIGHTS_ORIGINS, "an origin file for images belongs in data.origin"
    )
