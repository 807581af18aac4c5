"""Where source weights come from: a file of tensors, or an origin file that says how to make them.

`pipelines/weights.py` does what each kind of origin file says.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import Field, model_validator

from src.config.origin_file import read_origin_file
from src.config.section import Count, NonNegative, Positive, Probability, Section
from src.config.training import Augment


class Weights(Section):
    """The source network's weights."""

    origin: str = Field(min_length=1)
    """An origin file (.yaml), a .safetensors file or a torch checkpoint."""


class WeightsOrigin(Section):
    """The keys that every kind of origin file for weights has."""

    kind: str
    """Which of the kinds of origin this is."""
    licence: str = Field(min_length=1)
    """The terms on which the weights may be used."""


class ImagenetWeights(WeightsOrigin):
    """torchvision's ImageNet weights, downloaded once into torch.hub's cache."""

    kind: Literal["imagenet"]


class RandomWeights(WeightsOrigin):
    """torchvision's initialization from `seed`: the control that was never pretrained."""

    kind: Literal["scratch"]


class SourceTask(WeightsOrigin):
    """Pretraining on images rendered here, none of which shares a subject with the target."""

    kind: Literal["pretrain"]
    task: Literal["faces", "objects"] = "faces"
    """What the network learns to name: synthetic subjects, or kinds of objects."""
    image_size: Annotated[int, Field(ge=16, le=1024)] | None = None
    """Width and height in pixels; null takes the target's."""
    families: Count = 1
    """Groups of kinds of object that resemble each other; `likeness` says how much."""
    likeness: Probability = 0.0
    """How much the kinds of object of a family resemble each other; faces ignore it."""
    subjects: Annotated[int, Field(ge=2)]
    """Number of classes."""
    images_per_subject: Count
    """Images of each class."""
    epochs: Count
    """Passes over the images that the schedule of the learning rate is made for."""
    stop: Count | None = None
    """Passes after which training ends, before the task is solved; null takes all `epochs`."""
    batch_size: Count
    """Images per step."""
    learning_rate: Positive
    """The peak learning rate."""
    weight_decay: NonNegative
    """Weight decay, never applied to norms or biases."""
    augment: Augment = Augment(random_resized_crop=True, scale=(0.36, 1.0), ratio=(1.0, 1.0))
    """How a rendered image becomes an input. Without this section, `random_resized_crop: true`,
    `scale: [0.36, 1.0]` and `ratio: [1.0, 1.0]`; a key left out of a section that is there has the
    default below. Crops of every scale make features learnt with one stem transfer to the other,
    which sees everything twice as large.
    """

    @model_validator(mode="after")
    def _stops_in_time(self) -> SourceTask:
        if (self.stop or 0) > self.epochs:
            raise ValueError(f"stop is more than its {self.epochs} epochs; give at most as many")
        return self


WEIGHTS_ORIGINS: Mapping[str, type[WeightsOrigin]] = MappingProxyType(
    {"imagenet": ImagenetWeights, "pretrain": SourceTask, "scratch": RandomWeights}
)


def read_weights_origin(path: Path) -> WeightsOrigin:
    """An origin file for weights; raises ConfigError listing the known kinds or keys."""
    return read_origin_file(
        path, WEIGHTS_ORIGINS, "an origin file for images belongs in data.origin"
    )
