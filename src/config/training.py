"""What is trained, how, and on what hardware."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from src.config.head import Head
from src.config.section import Count, Fraction, Name, NonNegative, Positive, Probability, Section
from src.models.backbones import BACKBONES


class Model(Section):
    """The network that all experiments start from."""

    backbone: Annotated[str, Field(json_schema_extra={"enum": [*BACKBONES]})] = "resnet18"
    """One of torchvision's architectures."""
    stem: Literal["stride1", "standard"] = "stride1"
    """`stride1` removes the stem's strides, for small images; it keeps the pretrained weights."""


Range = tuple[Positive, Positive]


class Augment(Section):
    """How packed images become the network's inputs; by default unchanged.

    Jitter strengths and ranges are those of torchvision's ColorJitter and RandomResizedCrop.
    Evaluation takes the centre.
    """

    input_size: Annotated[int, Field(ge=16, le=1024)] | None = None
    """Width and height of the input in pixels; null takes the packed size."""
    random_resized_crop: bool = False
    """Whether training takes a random crop, resized to `input_size`."""
    scale: Range = (0.08, 1.0)
    """Share of the image's area that a random crop takes: lowest and highest."""
    ratio: Range = (3 / 4, 4 / 3)
    """Width over height of a random crop: lowest and highest."""
    brightness: Probability = 0.0
    """Strength of the random change of brightness."""
    contrast: Probability = 0.0
    """Strength of the random change of contrast."""
    saturation: Probability = 0.0
    """Strength of the random change of saturation."""
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    """Strength of the random change of hue, as a share of the colour circle."""

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
        """Whether an image changes from epoch to epoch, so that nothing can be cached."""
        return self.random_resized_crop or any(self.jitter)


class Recipe(Section):
    """A training recipe: how to train, whatever is trained."""

    optimizer: Literal["adam", "adamw", "sgd"]
    """The torch optimizer."""
    learning_rate: Positive
    """The peak learning rate."""
    momentum: Probability = 0.9
    """Momentum of sgd; the other optimizers ignore it."""
    weight_decay: NonNegative = 0.0
    """Weight decay, never applied to norms or biases."""
    multipliers: dict[str, NonNegative] = Field(default_factory=dict)
    """Learning-rate factor per block, `head`, or `base` for blocks under the head that have none of
    their own; 0 freezes a block."""
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Learning-rate factor from each block to the one below it."""
    schedule: Literal["constant", "step", "exponential", "cosine", "onecycle"] = "constant"
    """How the learning rate changes during training."""
    decay: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Learning-rate factor of schedule step (after each third) and exponential (per epoch)."""
    warmup_epochs: NonNegative = 0.0
    """Epochs of linear warm-up before schedule cosine."""
    unfreeze_at: dict[str, Count] = Field(default_factory=dict)
    """Epoch, counted from 1, in which a block begins to train: by its name, or `base` for all
    blocks under the head which have none of their own; by default the first.
    """
    freeze_at: dict[str, Count] = Field(default_factory=dict)
    """Epoch, counted from 1, from which a block trains no more: by its name, or `base` for all
    blocks under the head which have none of their own; by default none.
    """
    patience: Annotated[int, Field(ge=0)] = 0
    """Epochs without improvement after which training stops, counted once all blocks that train
    have begun to; 0 never stops early."""
    label_smoothing: Probability = 0.0
    """Label smoothing of the cross-entropy loss."""
    mixup: NonNegative = 0.0
    """Both parameters of the beta distribution of the shares in which two images and their labels
    are mixed; 0 mixes none. They are mixed as the first block that trains sees them.
    """
    batchnorm: Literal["adapt", "freeze", "recalibrate", "train"]
    """BatchNorm: `freeze` keeps the source's statistics in frozen blocks; `recalibrate` first
    estimates them anew on the training images; `adapt` takes batch statistics everywhere and trains
    no scale or shift; `train` takes batch statistics everywhere and trains all scales and shifts.
    """
    normalize: bool
    """Whether to normalize inputs by the mean and deviation of the source weights, which of a
    file of your own are taken to be ImageNet's."""
    flip: bool
    """Whether to flip half of the training images horizontally."""
    flip_test: bool = False
    """Test-time augmentation: whether a prediction averages the features of an image and of its
    mirror image, which doubles the time that a prediction takes.
    """
    augment: Augment = Augment()
    """How packed images become the network's inputs."""
    head_init: Literal["default", "xavier"] = "default"
    """Initial weights of the head: torch's default, or Glorot's rule with zero biases."""
    select: Literal["best", "last"]
    """Which epoch's weights are kept: of the best validation accuracy, or the last."""

    @property
    def training_views(self) -> int:
        """Views of an image that training sees: itself, and the flipped one."""
        return 2 if self.flip else 1

    @property
    def answer_views(self) -> int:
        """Views of an image that its answer comes from."""
        return 2 if self.flip_test else 1

    @property
    def views(self) -> int:
        """Views of an image that a head needs features of."""
        return max(self.training_views, self.answer_views)

    @property
    def warmup(self) -> float:
        """Epochs of warm-up that the schedule has; of others `warmup_epochs` means nothing."""
        return self.warmup_epochs if self.schedule == "cosine" else 0.0

    def first_epoch(self, block: str) -> int:
        """The epoch, counted from 1, in which a block or `head` begins to train, if it trains."""
        common = 1 if block == "head" else self.unfreeze_at.get("base", 1)
        return self.unfreeze_at.get(block, common)

    def end_epoch(self, block: str) -> int | None:
        """The first epoch in which a block that has trained is frozen again; None without one."""
        common = None if block == "head" else self.freeze_at.get("base")
        return self.freeze_at.get(block, common)

    def trains_in(self, block: str, epoch: int) -> bool:
        """Whether a block or `head`, if it trains at all, does in `epoch`, counted from 1."""
        end = self.end_epoch(block)
        return self.first_epoch(block) <= epoch and (end is None or epoch < end)

    @property
    def varies_features(self) -> bool:
        """Whether a head on a frozen backbone would see new features in every epoch."""
        return self.augment.random or bool(self.mixup)

    @property
    def head_rate(self) -> float:
        """The head's learning rate."""
        return self.learning_rate * self.multipliers.get("head", 1.0)


class Experiment(Section):
    """One row of the comparison: which blocks train, under which head, for how long."""

    train: tuple[str, ...] = Field(min_length=1)
    """Names of the blocks that train and `head`, or `all`."""
    head: Head = Head()
    """The classifier on top."""
    batch_size: Count
    """Images per step."""
    epochs: Count
    """Passes over the training images."""
    recipe: str | None = None
    """A name under `recipes`; null takes the common `recipe`."""
    learning_rate: Positive | None = None
    """Overrides the recipe's."""
    weight_decay: NonNegative | None = None
    """Overrides the recipe's."""
    multipliers: dict[str, NonNegative] | None = None
    """Overrides the recipe's."""
    unfreeze_at: dict[str, Count] | None = None
    """Overrides the recipe's."""
    freeze_at: dict[str, Count] | None = None
    """Overrides the recipe's."""
    start: Literal["source", "scratch"] = "source"
    """Initial weights of the backbone: the source weights, or random ones."""
    features: Name | None = None
    """The block whose pooled output the head reads; null takes the last."""
    seeds: Count | None = None
    """Seeds that it trains with; null takes the common `seeds`. A `centroid` head draws nothing, so
    all its seeds agree."""

    def adapted(self, recipe: Recipe) -> Recipe:
        """`recipe` with this experiment's overrides."""
        keys = ("learning_rate", "weight_decay", "multipliers", "unfreeze_at", "freeze_at")
        own = {key: getattr(self, key) for key in keys}
        if self.head.classical and recipe.batchnorm == "train":
            own["batchnorm"] = "freeze"  # scikit-learn fits the head, and trains no norm
        return recipe.model_copy(update={k: v for k, v in own.items() if v is not None})

    @model_validator(mode="after")
    def _head_always_trains(self) -> Experiment:
        if not {"head", "all"} & set(self.train):
            raise ValueError("a new head must train; add `head` to the list, or use [all]")
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
    """How the work is done. It changes results only by rounding, which training amplifies; keep it
    equal for what you compare.
    """

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to compute; `auto` takes CUDA where there is any."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Precision of the arithmetic; `auto` is bfloat16 where the hardware is fast at it."""
    cache_fraction: Fraction = 0.25
    """Share of the free memory that cached activations may take."""
    cache_limit: Positive = 4.0
    """GiB of memory that cached activations may take; more goes to a temporary file."""
    cache_prefix: bool = True
    """Whether to compute the output of frozen blocks once and reuse it in every epoch; a row that
    trains only a head, on images that are not mixed, does so in any case.
    """
