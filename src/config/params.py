"""All of params.yaml, and what its parts demand of each other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from src.config.data import Data
from src.config.literature import LiteratureStudy
from src.config.presets import with_study
from src.config.section import Key, Section, read_yaml, validate
from src.config.tracking import Tracking
from src.config.training import Engine, Experiment, Model, Recipe
from src.config.tune import SearchResult, Tune
from src.config.weights import Weights
from src.errors import ConfigError
from src.models.backbones import BACKBONES

PARAMS = Path("params.yaml")
BEST, BEST_NAME = Path("tune/best.yaml"), "ModelD-best"  # what the search found, beside PARAMS


class Params(Section):
    """All of params.yaml."""

    seed: Annotated[int, Field(ge=0, lt=2**31)]
    data: Data
    weights: Weights
    model: Model
    recipe: str
    recipes: dict[Key, Recipe] = Field(min_length=1)
    experiments: dict[Key, Experiment] = Field(min_length=1)
    engine: Engine = Engine()
    tune: Tune = Tune()
    tracking: Tracking = Tracking()
    study: LiteratureStudy | None = None

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
            self._features_exist(key, experiment, tuple(backbone.blocks))
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

    def _features_exist(self, key: str, experiment: Experiment, blocks: tuple[str, ...]) -> None:
        last = experiment.features
        if last is None:
            return
        if last not in blocks:
            raise ValueError(
                f"experiments.{key}.features is {last!r}, which {self.model.backbone} does not "
                f"have; use {', '.join(blocks)}"
            )
        above = blocks[blocks.index(last) + 1 :]
        for block in above:
            if block in experiment.train:
                raise ValueError(
                    f"experiments.{key}.train names {block!r}, which lies above its features "
                    f"({last}) and is cut off; take it out"
                )

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

    @model_validator(mode="after")
    def _heads_train(self) -> Params:
        for key in self.experiments:
            if not self.recipe_of(key).head_rate:
                raise ValueError(
                    f"experiments.{key}: its multipliers make the head's learning rate 0, and a "
                    "new head must train; give `head` more than 0"
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


def load_params(path: Path = PARAMS) -> Params:
    """Read and validate params.yaml, with the study it names and what the search found.

    Raises ConfigError.
    """
    raw, best = with_study(read_yaml(path), path.parent), path.parent / BEST
    if best.exists() and isinstance(raw, dict) and isinstance(raw.get("experiments"), dict):
        found = validate(SearchResult, read_yaml(best), str(best)).best
        raw["experiments"] |= {name: entry.model_dump(mode="json") for name, entry in found.items()}
    return validate(Params, raw, str(path))
