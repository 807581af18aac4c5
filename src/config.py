"""params.yaml as typed, validated, frozen models: the one place that says what may be tuned.

Everything is checked before any work starts: types (no silent conversions), ranges, unknown
keys, and what one key demands of another. Units are in the field descriptions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from src.errors import ConfigError
from src.models.backbones import BACKBONES

PARAMS = Path("params.yaml")
BEST, BEST_NAME = Path("tune/best.yaml"), "ModelD-best"  # what the search found, beside PARAMS

Policy = Literal["fail", "drop", "warn"]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Probability = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]


class Section(BaseModel):
    """A part of params.yaml: immutable, strictly typed, no key that is not declared."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Audit(Section):
    """What to do about each kind of finding; `drop` takes images from training, never from test."""

    unreadable: Policy = "warn"
    empty_subject: Policy = "warn"
    duplicate: Policy = "drop"
    near_duplicate: Policy = "warn"
    conflicting_label: Policy = "warn"
    near_distance: Annotated[int, Field(ge=0, le=16)] = 4  # bits of 64 that may differ


class Data(Section):
    """Where the faces come from and how they are packed and split."""

    origin: str = Field(min_length=1)
    image_size: Annotated[int, Field(ge=16, le=1024)] = 64  # pixels, square
    fit: Literal["crop", "stretch", "pad"] = "crop"  # how a non-square picture becomes square
    val_fraction: Fraction = 0.15  # of each subject's training images
    test_fraction: Fraction = 0.2  # of each subject's images, where the origin has no test split
    max_pixels: Count = 50_000_000  # a larger picture is refused unread
    classes: dict[Name, tuple[str, ...]] = {}  # patterns of subjects for each; {} as given
    audit: Audit = Audit()


class Pretrain(Section):
    """The source task made here: naming what shares nothing with the target."""

    task: Literal["faces", "objects"] = "faces"  # synthetic identities, or kinds of objects
    image_size: Annotated[int, Field(ge=16, le=1024)] | None = None  # pixels; null as the target's
    subjects: Annotated[int, Field(ge=2)]
    images_per_subject: Count
    epochs: Count
    batch_size: Count
    learning_rate: Positive
    weight_decay: NonNegative


class Model(Section):
    """The network all experiments start from."""

    backbone: str = "resnet18"
    stem: Literal["stride1", "standard"] = "stride1"


Range = tuple[Positive, Positive]


class Augment(Section):
    """How packed pictures become the network's inputs; by default as they are.

    Jitter strengths and ranges are those of torchvision's ColorJitter and RandomResizedCrop.
    Evaluation takes the centre.
    """

    input_size: Annotated[int, Field(ge=16, le=1024)] | None = None  # pixels; null as packed
    random_resized_crop: bool = False
    scale: Range = (0.08, 1.0)  # share of the picture's area that a random crop takes
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
            raise ValueError("scale is a share of the picture's area; keep it within (0, 1]")
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
    multipliers: dict[
        str, NonNegative
    ] = {}  # rate factor per block, or of all in `base`; 0 freezes
    layer_decay: Annotated[float, Field(gt=0, le=1)] = (
        1.0  # factor from each block to the one below
    )
    schedule: Literal["constant", "step", "exponential", "cosine", "onecycle"] = "constant"
    decay: Annotated[float, Field(gt=0, le=1)] = 0.1  # step: at each third; exponential: per epoch
    warmup_epochs: NonNegative = 0.0  # linear, before cosine
    head_epochs: Annotated[int, Field(ge=0)] = 0  # epochs that train only the head, first
    patience: Annotated[int, Field(ge=0)] = (
        0  # epochs without a better one before stopping; 0 never
    )
    label_smoothing: Probability = 0.0
    batchnorm: Literal["adapt", "freeze", "recalibrate", "train"]
    normalize: bool  # with the mean and deviation that belong to the weights
    flip: bool  # horizontal, half of the images
    augment: Augment = Augment()
    head_init: Literal["default", "xavier"] = "default"  # xavier: Glorot's rule, zero biases
    select: Literal["best", "last"]  # which epoch's weights are kept


class Head(Section):
    """Linear where `hidden` is empty; else Linear, Dropout, ReLU per width, then Linear."""

    hidden: tuple[Annotated[int, Field(ge=1, le=16384)], ...] = ()
    dropout: tuple[Probability, ...] = ()  # one per hidden layer

    @model_validator(mode="after")
    def _one_dropout_per_layer(self) -> Head:
        if len(self.dropout) not in (0, len(self.hidden)):
            raise ValueError(
                f"{len(self.dropout)} dropout rates for {len(self.hidden)} hidden layers; "
                "give one per layer, or [] for none"
            )
        return self

    @property
    def rates(self) -> tuple[float, ...]:
        """The dropout rate of each hidden layer."""
        return self.dropout or (0.0,) * len(self.hidden)


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

    def adapted(self, recipe: Recipe) -> Recipe:
        """`recipe` with what this experiment says for itself in place."""
        own = {key: getattr(self, key) for key in ("learning_rate", "weight_decay", "multipliers")}
        return recipe.model_copy(update={k: v for k, v in own.items() if v is not None})

    @model_validator(mode="after")
    def _head_always_trains(self) -> Experiment:
        if not {"head", "all"} & set(self.train):
            raise ValueError("a new head must train; add `head` to the list, or say [all]")
        return self


class Engine(Section):
    """How the work is done; nothing here may change a result beyond rounding."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    cache_fraction: Fraction = 0.25  # of free memory that cached activations may take
    cache_prefix: bool = True  # compute what is frozen once


class Space(Section):
    """What a search may choose: `[low, high]`, or `[value]` where it may not; see `tune.space`."""

    layers: tuple[Annotated[int, Field(ge=1, le=8)], ...] = (1, 3)
    width: tuple[Annotated[int, Field(ge=1, le=16384)], ...] = (64, 2048)
    dropout: tuple[Probability, ...] = (0.0, 0.7)
    learning_rate: tuple[Positive, ...] = (1e-4, 1e-2)
    weight_decay: tuple[Positive, ...] = (1e-4, 0.5)
    batch_size: tuple[Count, ...] = Field(default=(32, 64, 128), min_length=1)  # the choices

    @model_validator(mode="after")
    def _in_order(self) -> Space:
        for key in ("layers", "width", "dropout", "learning_rate", "weight_decay"):
            bounds = getattr(self, key)
            if len(bounds) not in (1, 2):
                raise ValueError(f"{key} has {len(bounds)} numbers; give [low, high] or [value]")
            if bounds[0] > bounds[-1]:
                low, high = bounds[1], bounds[0]
                raise ValueError(f"{key} runs from high to low; write [{low}, {high}]")
        return self


class Tune(Section):
    """The search for ModelD's head: `python -m src.tune`."""

    study: Name = "ModelD"
    storage: str = Field(default="sqlite:///mlruns/optuna.db", min_length=1)
    trials: Count = 50
    epochs: Count = 100
    wave: Count = 10
    recipe: str | None = None  # a name under recipes; the common one where null
    sampler: Literal["tpe", "random"] = "tpe"
    pruner: Literal["halving", "median", "none"] = "halving"
    seeds: Count = 3  # that the best head is trained with again
    heartbeat: Count = 10  # seconds; only for a storage that several processes share
    space: Space = Space()


class Found(Section):
    """All of tune/best.yaml: experiments that a search wrote, none before the first."""

    best: dict[Name, Experiment] = {}


class Claim(Section):
    """Something a source text says of its experiments, which the report checks on ours.

    same: their trained weights are bit-identical. sooner: within `epochs`, the first reaches a
    validation accuracy that the second never does. better: the first names more test images
    right. Exactly one of the three.
    """

    says: str = Field(min_length=1)
    same: tuple[Name, Name] | None = None
    sooner: tuple[Name, Name] | None = None
    better: tuple[Name, Name] | None = None
    epochs: Count = 2

    @model_validator(mode="after")
    def _one_kind(self) -> Claim:
        if len(self.pairs) != 1:
            raise ValueError("a claim has exactly one of `same`, `sooner` and `better`")
        return self

    @property
    def pairs(self) -> dict[str, tuple[str, str]]:
        """Kind of claim to the two experiments it is about."""
        given = {kind: getattr(self, kind) for kind in ("same", "sooner", "better")}
        return {kind: pair for kind, pair in given.items() if pair}


class Study(Section):
    """What a study rebuilds: a text, its figures and its claims."""

    text: str = Field(min_length=1)  # author, title, year
    dataset: str = Field(min_length=1)  # that the published figures are for
    published: dict[Name, Fraction] = {}  # test accuracy by experiment
    claims: tuple[Claim, ...] = ()


class Params(Section):
    """All of params.yaml."""

    seed: Annotated[int, Field(ge=0, lt=2**31)]
    data: Data
    weights: Annotated[str, Field(pattern=r"^(imagenet|pretrain|scratch|file:.+)$")]
    pretrain: Pretrain
    model: Model
    recipe: str
    recipes: dict[Name, Recipe] = Field(min_length=1)
    experiments: dict[Name, Experiment] = Field(min_length=1)
    engine: Engine = Engine()
    tune: Tune = Tune()
    study: Study | None = None

    @model_validator(mode="after")
    def _study_names_experiments(self) -> Params:
        study = self.study
        named = {*(study.published if study else ())}
        for claim in study.claims if study else ():
            named |= {name for pair in claim.pairs.values() for name in pair}
        for name in sorted(named - self.experiments.keys()):
            raise ValueError(
                f"study names {name!r}, which is not under experiments; "
                f"use {_names(self.experiments)}"
            )
        return self

    @model_validator(mode="after")
    def _blocks_exist(self) -> Params:
        if self.model.backbone not in BACKBONES:
            raise ValueError(
                f"model.backbone is {self.model.backbone!r}; use one of {_names(BACKBONES)}"
            )
        backbone = BACKBONES[self.model.backbone]
        if self.model.stem == "stride1" and not backbone.stem_strides:
            raise ValueError(f"model.stem: {backbone.name} has no stride-1 stem; use standard")
        blocks = dict.fromkeys((*backbone.blocks, "head", "all"))
        for key, experiment in self.experiments.items():
            for block in experiment.train:
                if block not in blocks:
                    raise ValueError(
                        f"experiments.{key}.train names {block!r}, which {self.model.backbone} "
                        f"does not have; use {_names(blocks)}"
                    )
        factors = dict.fromkeys((*backbone.blocks, "head", "base"))
        sections: dict[str, Mapping[str, Recipe | Experiment]] = {
            "recipes": self.recipes,
            "experiments": self.experiments,
        }
        for section, entries in sections.items():
            for key, entry in entries.items():
                for block in entry.multipliers or {}:
                    if block not in factors:
                        raise ValueError(
                            f"{section}.{key}.multipliers names {block!r}, which "
                            f"{self.model.backbone} does not have; use {_names(factors)}"
                        )
        return self

    @model_validator(mode="after")
    def _crops_fit(self) -> Params:
        for key, recipe in self.recipes.items():
            if (recipe.augment.input_size or 0) > self.data.image_size:
                raise ValueError(
                    f"recipes.{key}.augment.input_size is larger than data.image_size; "
                    f"use at most {self.data.image_size}"
                )
        return self

    @model_validator(mode="after")
    def _names_exist(self) -> Params:
        for where, name in [
            ("recipe", self.recipe),
            ("tune.recipe", self.tune.recipe or self.recipe),
        ] + [
            (f"experiments.{key}.recipe", experiment.recipe)
            for key, experiment in self.experiments.items()
            if experiment.recipe
        ]:
            if name not in self.recipes:
                raise ValueError(
                    f"{where} is {name!r}, which is not under recipes; use {_names(self.recipes)}"
                )
        return self

    def experiment(self, name: str) -> Experiment:
        """The entry under `experiments`; raises ConfigError with the names there are."""
        if name not in self.experiments:
            mend = f"use one of {_names(self.experiments)}"
            raise ConfigError(str(PARAMS), f"experiments has no {name!r}", mend)
        return self.experiments[name]

    def recipe_of(self, name: str) -> Recipe:
        """The recipe experiment `name` trains by, its own rate and decay in place."""
        experiment = self.experiment(name)
        return experiment.adapted(self.recipes[experiment.recipe or self.recipe])


def _names(mapping: Mapping[str, object]) -> str:
    return ", ".join(mapping)


S = TypeVar("S", bound=Section)


def read_yaml(path: Path) -> Any:
    """The content of a YAML 1.2 file, read as DVC reads it (`1e-3` is a number).

    Raises ConfigError where the file is missing or is not YAML.
    """
    try:
        return YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(str(path), "no such file", "run from the project's folder") from None
    except (YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        what = getattr(error, "problem", None) or "not a text file in UTF-8"
        raise ConfigError(where, f"not valid YAML ({what})", "mend the line named") from None


def validate(model: type[S], raw: Any, where: str) -> S:
    """`raw` as a `model`; raises ConfigError naming every key that is wrong, on one line."""
    try:
        # Through JSON, whose strict mode takes a list for a tuple and nothing else unasked.
        return model.model_validate_json(json.dumps(raw))
    except (TypeError, ValueError) as error:
        problems = error.errors() if isinstance(error, ValidationError) else []
        what = "; ".join(_problem(problem) for problem in problems) or str(error)
        raise ConfigError(where, what, "see the comments in params.yaml") from None


def _problem(problem: Any) -> str:
    key = ".".join(str(part) for part in problem["loc"] if part != "[key]")
    if problem["type"] == "extra_forbidden":
        return f"{key} is not a known key"
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "missing":
        message = "is required"
    given = problem["input"]
    shown = "" if isinstance(given, dict | list) else f" (got {given!r})"
    return f"{key}: {message}{shown}" if key else message


def load_params(path: Path = PARAMS) -> Params:
    """Read and validate params.yaml, with what the search found among the experiments.

    Raises ConfigError.
    """
    raw, best = read_yaml(path), path.parent / BEST
    if best.exists() and isinstance(raw, dict) and isinstance(raw.get("experiments"), dict):
        found = validate(Found, read_yaml(best), str(best)).best
        raw["experiments"] |= {name: entry.model_dump(mode="json") for name, entry in found.items()}
    return validate(Params, raw, str(path))
