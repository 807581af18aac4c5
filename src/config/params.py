"""All of params.yaml, and how its parts depend on each other."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, model_validator

from src.config.data import Data
from src.config.literature import LiteratureStudy
from src.config.presets import with_study
from src.config.section import Count, Key, Section, validate
from src.config.tracking import Tracking
from src.config.training import Engine, Experiment, Model, Recipe
from src.config.tune import SearchResult, Tune
from src.config.unknown import Unknown
from src.config.weights import Weights
from src.config.yaml_file import read_yaml
from src.errors import ConfigError, has_password
from src.models.backbones import BACKBONES
from src.paths import SOURCE

PARAMS = Path("params.yaml")
BEST, BEST_NAME = Path("tune/best.yaml"), "ModelD-best"  # what the search found


def _or_a_name(schema: dict[str, Any]) -> None:
    schema["anyOf"].insert(0, {"type": "string"})  # in the file; `with_study` reads what it names


def _each_of(known: Collection[str], names: Iterable[str], where: str, why: str) -> None:
    for name in names:
        if name not in known:
            raise ValueError(f"{where} {name!r}, {why}; use {', '.join(known)}")


def training_stage(name: str) -> str:
    """The stage of dvc.yaml that trains an experiment; what a search found has one of its own."""
    return f"train-best@{name}" if name == BEST_NAME else f"train@{name}"


class Params(Section):
    """All of params.yaml."""

    seed: Annotated[int, Field(ge=0, lt=2**31)]
    """Seed of every random draw: rendering, splits, initialization, order."""
    seeds: Count = 1
    """Seeds that each experiment trains with: `seed`, `seed` + 1 and so on. They change the head's
    initial weights, the order of images, dropout, flips and crops; not the split of the data, nor
    source weights that are pretrained here."""
    data: Data
    """Where the faces come from and how they are packed and split."""
    weights: Weights
    """The source network's weights."""
    model: Model
    """The network that all experiments start from."""
    recipe: str
    """The name under `recipes` that experiments train by, unless they name their own."""
    recipes: dict[Key, Recipe] = Field(min_length=1)
    """Training recipes by name."""
    experiments: dict[Key, Experiment] = Field(min_length=1)
    """The rows of the comparison by name."""
    unknown: Unknown = Unknown()
    """Strangers, whom the champion should not give a subject's name."""
    engine: Engine = Engine()
    """How the work is done."""
    tune: Tune = Tune()
    """The search for ModelD's head."""
    tracking: Tracking = Tracking()
    """The names under which MLflow keeps runs and models."""
    study: LiteratureStudy | None = Field(default=None, json_schema_extra=_or_a_name)
    """A file of studies/, without `.yaml`, whose claims the report checks."""

    @model_validator(mode="after")
    def _no_password_for_git(self) -> Params:
        if has_password(self.tune.storage):
            raise ValueError(
                "tune.storage has a password, and git keeps this file; leave it out and set the "
                "environment variable OPTUNA_STORAGE to the whole URL, or use ~/.pgpass"
            )
        return self

    @model_validator(mode="after")
    def _study_names_experiments(self) -> Params:
        if self.study:
            pairs = [pair for claim in self.study.claims for pair in claim.pairs.values()]
            named = sorted({*self.study.published, *chain(*pairs)})
            _each_of(
                self.experiments,
                named,
                "the literature study names",
                "which is not under experiments",
            )
        return self

    @model_validator(mode="after")
    def _names_are_free(self) -> Params:
        if (name := SOURCE.stem) in self.experiments:
            raise ValueError(f"experiments.{name}: {SOURCE} are the source weights; rename it")
        return self

    @model_validator(mode="after")
    def _backbone_exists(self) -> Params:
        name, stem = self.model.backbone, self.model.stem
        if name not in BACKBONES:
            raise ValueError(f"model.backbone is {name!r}; use one of {', '.join(BACKBONES)}")
        if stem == "stride1" and not BACKBONES[name].stem_strides:
            raise ValueError(f"model.stem: {name} has no stride-1 stem; use standard")
        return self

    @model_validator(mode="after")
    def _blocks_exist(self) -> Params:
        blocks = tuple(BACKBONES[self.model.backbone].blocks)
        lacks = f"which {self.model.backbone} does not have"
        for key, experiment in self.experiments.items():
            _each_of(
                (*blocks, "head", "all"), experiment.train, f"experiments.{key}.train names", lacks
            )
            if last := experiment.features:
                _each_of(blocks, [last], f"experiments.{key}.features is", lacks)
                for block in blocks[blocks.index(last) + 1 :]:
                    if block in experiment.train:
                        raise ValueError(
                            f"experiments.{key}.train names {block!r}, which is above its features "
                            f"({last}) and is cut off; remove it"
                        )
        recipes = {f"recipes.{key}": each for key, each in self.recipes.items()}
        experiments = {f"experiments.{key}": each for key, each in self.experiments.items()}
        for where, each in (recipes | experiments).items():
            factors = each.multipliers or {}
            _each_of((*blocks, "head", "base"), factors, f"{where}.multipliers names", lacks)
            for key, epochs in (("unfreeze_at", each.unfreeze_at), ("freeze_at", each.freeze_at)):
                _each_of((*blocks, "base"), epochs or {}, f"{where}.{key} names", lacks)
        return self

    @model_validator(mode="after")
    def _sizes_fit(self) -> Params:
        name, most = self.model.backbone, self.data.image_size
        least, sides = BACKBONES[name].least, {"data.image_size": most}
        for key, recipe in self.recipes.items():
            if crop := recipe.augment.input_size:
                sides[f"recipes.{key}.augment.input_size"] = crop
        for where, side in sides.items():
            if side > most:
                raise ValueError(f"{where} is larger than data.image_size; use at most {most}")
            if side < least:
                raise ValueError(
                    f"{where} is {side}, and {name} takes no images under {least} pixels; "
                    f"give at least {least}"
                )
        return self

    @model_validator(mode="after")
    def _recipes_exist(self) -> Params:
        named = {"recipe": self.recipe, "tune.recipe": self.tune.recipe}
        for key, experiment in self.experiments.items():
            named[f"experiments.{key}.recipe"] = experiment.recipe
        for where, name in named.items():
            if name is not None:
                _each_of(self.recipes, [name], f"{where} is", "which is not under recipes")
        return self

    @model_validator(mode="after")
    def _blocks_unfreeze_in_time(self) -> Params:
        for key, experiment in self.experiments.items():
            recipe, trained = self.recipe_of(key), self._trained(experiment)
            named = {"unfreeze_at": experiment.unfreeze_at, "freeze_at": experiment.freeze_at}
            for option, epochs in named.items():
                for block in epochs or {}:
                    if not trained or block not in (*trained, "base"):
                        raise ValueError(
                            f"experiments.{key}.{option} names {block!r}, which it does not train; "
                            "remove it"
                        )
            for block in trained:
                first, end = recipe.first_epoch(block), recipe.end_epoch(block)
                if first > experiment.epochs:
                    raise ValueError(
                        f"experiments.{key}: by unfreeze_at {block} begins to train in epoch "
                        f"{first} of {experiment.epochs}; give an earlier one, or more epochs"
                    )
                if end is not None and end <= first:
                    raise ValueError(
                        f"experiments.{key}: by freeze_at {block} is frozen in epoch {end}, but "
                        f"begins to train in epoch {first}; give a later one"
                    )
        return self

    @model_validator(mode="after")
    def _warmups_end(self) -> Params:
        for key, experiment in self.experiments.items():
            warmup = self.recipe_of(key).warmup
            if warmup >= experiment.epochs and not experiment.head.classical:
                raise ValueError(
                    f"experiments.{key}: its recipe's warmup_epochs, {warmup:g}, are not less than "
                    f"its {experiment.epochs} epochs; give fewer, or more epochs"
                )
        return self

    @model_validator(mode="after")
    def _heads_train(self) -> Params:
        for key in self.experiments:
            if not self.recipe_of(key).head_rate:
                raise ValueError(
                    f"experiments.{key}: its multipliers make the head's learning rate 0, but a "
                    "new head must train; give `head` more than 0"
                )
        return self

    def _trained(self, experiment: Experiment) -> list[str]:
        """The blocks under the head that an experiment trains, in their order."""
        blocks, last = list(BACKBONES[self.model.backbone].blocks), experiment.features
        kept = blocks[: blocks.index(last) + 1] if last else blocks
        return [block for block in kept if {block, "all"} & {*experiment.train}]

    def experiment(self, name: str) -> Experiment:
        """The entry under `experiments`; raises ConfigError that lists the valid names."""
        if name not in self.experiments:
            mend = f"use one of {', '.join(self.experiments)}"
            raise ConfigError(str(PARAMS), f"experiments has no {name!r}", mend)
        return self.experiments[name]

    def seeds_of(self, name: str) -> tuple[int, ...]:
        """The seeds that experiment `name` trains with; the first is `seed`."""
        number = self.experiment(name).seeds or self.seeds
        return tuple(range(self.seed, self.seed + number))

    def recipe_of(self, name: str) -> Recipe:
        """The recipe that experiment `name` trains by, with its overrides."""
        experiment = self.experiment(name)
        return experiment.adapted(self.recipes[experiment.recipe or self.recipe])


def load_params(path: Path = PARAMS) -> Params:
    """Read and validate params.yaml, with the literature study that it names and tune/best.yaml.

    Raises ConfigError.
    """
    raw, best = with_study(read_yaml(path), path.parent), path.parent / BEST
    if best.exists() and isinstance(raw, dict) and isinstance(raw.get("experiments"), dict):
        if BEST_NAME in raw["experiments"]:
            what = f"experiments.{BEST_NAME} is the head in {BEST}, which `src.tune` writes"
            raise ConfigError(str(path), what, "give it another name")
        found = validate(SearchResult, read_yaml(best), str(best)).best
        raw["experiments"] |= {name: entry.model_dump(mode="json") for name, entry in found.items()}
    return validate(Params, raw, str(path))
