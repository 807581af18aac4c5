"""What is trained, how, and with what means."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from src.config.head import Head
from src.config.section import Count, Fraction, Name, NonNegative, Positive, Probability, Section


class Model(Section):
    """The network all experiments start from."""

    backbone: str = "resnet18"
    stem: Literal["stride1", "standard"] = "stride1"


Range = tuple[Positive, Positive]


class Augment(Section):
    """How packed images become the network's inputs; by default as they are.

    Jitter strengths and ranges are those of torchvision's ColorJitter and RandomResizedCrop.
    Evaluation takes the centre.
    """

    input_size: Annotated[int, Field(ge=16, le=1024)] | None = None  # pixels; null as packed
    random_resized_crop: bool = False
    scale: Range = (0.08, 1.0)  # share of the image's area that a random crop takes
    ratio: Range = (3 / 4, 4 / 3)  # width over height of a random crop
    brightness: Probability = 0.0
    contrast: Probability = 0.0
    saturation: Probability = 0.0
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.0  # of the colour circle

    @model_validator(mode="after")
    def _in_order(self) -> Augment:
        for key, (low, high) in (("scale", self.scale), ("ratio", self.ratio)):
            if low > high:
                raise ValueError(f"{key} runs from high to low; write [{high}, {low}]")
        if self.scale[1] > 1:
            raise ValueError("scale is a share of the image's area; keep it within (0, 1]")
        return self

    @property
    def jitter(self) -> tuple[float, float, float, float]:
        """Strengths of brightness, contrast, saturation and hue."""
        return self.brightness, self.contrast, self.saturation, self.hue

    @property
    def random(self) -> bool:
        """Whether an image differs from epoch to epoch, so that nothing can be cached."""
        return self.random_resized_crop or any(self.jitter)


class Recipe(Section):
    """How to train, whatever is trained."""

    optimizer: Literal["adam", "adamw", "sgd"]
    learning_rate: Positive
    momentum: Probability = 0.9  # sgd only
    weight_decay: NonNegative = 0.0  # never on norms or biases
    # Rate factor per block, or of all blocks in `base`; 0 freezes a block, never the head.
    multipliers: dict[str, NonNegative] = Field(default_factory=dict)
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0  # from each block to the one below
    schedule: Literal["constant", "step", "exponential", "cosine", "onecycle"] = "constant"
    decay: Annotated[float, Field(gt=0, le=1)] = 0.1  # step: at each third; exponential: per epoch
    warmup_epochs: NonNegative = 0.0  # linear, before cosine
    head_epochs: Annotated[int, Field(ge=0)] = 0  # epochs that train only the head, first
    patience: Annotated[int, Field(ge=0)] = 0  # epochs without a better one; 0 never stops
    label_smoothing: Probability = 0.0
    batchnorm: Literal["adapt", "freeze", "recalibrate", "train"]
    normalize: bool  # with the mean and deviation that belong to the weights
    flip: bool  # horizontal, half of the images
    augment: Augment = Augment()
    head_init: Literal["default", "xavier"] = "default"  # xavier: Glorot's rule, zero biases
    select: Literal["best", "last"]  # which epoch's weights are kept

    @property
    def head_rate(self) -> float:
        """The head's learning rate."""
        return self.learning_rate * self.multipliers.get("head", 1.0)


class Experiment(Section):
    """One row of the comparison: which blocks train, under which head, for how long."""

    train: tuple[str, ...] = Field(min_length=1)  # block names, or `all`
    head: Head = Head()
    batch_size: Count
    epochs: Count
    recipe: str | None = None  # a name under recipes; the common one where null
    learning_rate: Positive | None = None  # instead of the recipe's
    weight_decay: NonNegative | None = None  # instead of the recipe's
    multipliers: dict[str, NonNegative] | None = None  # instead of the recipe's
    start: Literal["source", "scratch"] = "source"  # scratch: random, beside those fine-tuned
    features: Name | None = None  # the block whose pooled output the head reads; null the last

    def adapted(self, recipe: Recipe) -> Recipe:
        """`recipe` with what this experiment says for itself in place."""
        own = {key: getattr(self, key) for key in ("learning_rate", "weight_decay", "multipliers")}
        return recipe.model_copy(update={k: v for k, v in own.items() if v is not None})

    @model_validator(mode="after")
    def _head_always_trains(self) -> Experiment:
        if not {"head", "all"} & set(self.train):
            raise ValueError("a new head must train; add `head` to the list, or say [all]")
        return self

    @model_validator(mode="after")
    def _fitted_once(self) -> Experiment:
        if self.head.classical and (set(self.train) != {"head"} or self.epochs != 1):
            raise ValueError(
                f"a {self.head.kind} head is fitted once, on frozen features; "
                "set train: [head] and epochs: 1"
            )
        return self


class Engine(Section):
    """How the work is done; nothing here may change a result beyond rounding."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    cache_fraction: Fraction = 0.25  # of free memory that cached activations may take
    cache_limit: Positive = 4.0  # GiB that they may take at most; more goes to a temporary file
    cache_prefix: bool = True  # compute what is frozen once
