"""The objective of a study: validation accuracy of a head on given features, by one recipe."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from src import paths
from src.config import Params, Recipe
from src.errors import ConfigError, StaleInputError
from src.training.device import Compute, resolve
from src.training.engine import features_match, head_task
from src.training.features import Features
from src.training.head_task import HeadTask
from src.training.job import StartingPoint, TrainingJob, cached_features
from src.tune.space import TrialParams


def check_recipe(params: Params) -> None:
    """Raise ConfigError where heads cannot be searched by the recipe, before anything is read."""
    where, recipe = "params.yaml: tune.recipe", params.tune.recipe or params.recipe
    if recipe not in params.recipes:
        raise ConfigError(where, f"{recipe!r} is no recipe", f"use {', '.join(params.recipes)}")
    chosen = params.recipes[recipe]
    if chosen.batchnorm not in ("freeze", "recalibrate") or chosen.varies_features:
        raise ConfigError(
            where,
            f"{recipe!r} changes the features from epoch to epoch, so none can be cached",
            "name a recipe with batchnorm freeze or recalibrate, and neither random "
            "augmentation nor mixup",
        )
    if chosen.warmup >= params.tune.epochs:
        raise ConfigError(
            where,
            f"the warmup_epochs of {recipe!r}, {chosen.warmup:g}, are not less than "
            f"{params.tune.epochs} epochs",
            "give fewer, or more epochs of tune.epochs",
        )
    if not chosen.head_rate:
        raise ConfigError(
            where,
            f"the multipliers of {recipe!r} make the head's learning rate 0",
            "give `head` more than 0",
        )


@dataclass(frozen=True)
class Objective:
    """Everything but the trial's parameters that its validation accuracy depends on."""

    params: Params
    starting_point: StartingPoint
    features: Features
    compute: Compute

    @classmethod
    def load(cls, params: Params) -> Objective:
        """Read the stages' outputs; raises StaleInputError, ConfigError or WeightsError.

        If the features were made for another recipe, on another kind of processor or by another
        number of threads, suitable ones are made in the scratch folder.
        """
        check_recipe(params)
        for path in (paths.FACES, paths.SOURCE, paths.FEATURES):
            if not path.is_file():
                raise StaleInputError(str(path), "no such file", "run `dvc repro embed`")
        starting_point = StartingPoint.load(paths.FACES, paths.SOURCE)
        features = Features.load(paths.FEATURES)
        compute = resolve(params.engine.device, params.engine.precision)
        return cls(params, starting_point, features, compute)._with_suitable_features()

    def _with_suitable_features(self) -> Objective:
        job, given = self.any_job, self.features.provenance
        wanted = job.provenance()
        if (given.faces, given.source) != (wanted.faces, wanted.source):
            what = "made from another version of the dataset, or from other weights"
            raise StaleInputError(str(paths.FEATURES), what, "run `dvc repro embed`")
        features = self.features
        if not features_match(features, job):
            features = cached_features(job, paths.SCRATCH)
        chosen = features.at(None, flip_test=self.recipe.flip_test).to(self.compute.device)
        return Objective(self.params, self.starting_point, chosen, self.compute)

    @property
    def recipe(self) -> Recipe:
        """The recipe of every trial, before its own learning rate and weight decay."""
        return self.params.recipes[self.params.tune.recipe or self.params.recipe]

    @property
    def classes(self) -> int:
        """The number of subjects."""
        return len(self.starting_point.faces.subjects)

    @property
    def val_images(self) -> int:
        """The number of validation images."""
        return len(self.features.val_labels)

    @cached_property
    def definition(self) -> dict[str, Any]:
        """Everything that decides the trials of a study and their values, in JSON types.

        The wave's size is part of it: the trials of a wave are suggested before any of them has a
        value.
        """
        tune = self.params.tune
        features = asdict(self.any_job.provenance())
        facts = {
            "space": tune.space.model_dump(),
            "epochs": tune.epochs,
            "sampler": tune.sampler,
            "pruner": tune.pruner,
            "wave": tune.wave,
            "seed": self.params.seed,
            "recipe": self.recipe.model_dump(),
            "precision": features.pop("dtype"),
            "features": features,
        }
        content: dict[str, Any] = json.loads(json.dumps(facts))
        return content

    @property
    def any_job(self) -> TrainingJob:
        """A job with some head, for what does not depend on the head."""
        return self.job(TrialParams((64,), (0.0,), 1e-3, 1e-3, 64))

    def job(self, trial_params: TrialParams) -> TrainingJob:
        """The job that `dvc repro` would run for this head."""
        experiment = trial_params.experiment(self.params.tune.epochs, self.params.tune.recipe)
        return TrainingJob.of(
            "tune",
            self.params,
            self.starting_point,
            Path(),
            experiment=experiment,
            compute=self.compute,
        )

    def task(self, trial_params: TrialParams) -> HeadTask:
        """The same as a task of the batched engine."""
        return head_task(self.job(trial_params))
