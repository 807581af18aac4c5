"""What a trial's value depends on: features, recipe, seed and length; and how a head is fitted."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from src.config import Params, Recipe
from src.errors import ConfigError, StaleInputError
from src.training.device import Compute, resolve
from src.training.engine import features_match, head_task
from src.training.features import Features
from src.training.head_task import HeadTask
from src.training.job import StartingPoint, TrainingJob, cached_features
from src.tune.space import TrialParams


@dataclass(frozen=True)
class Files:
    """The pipeline's outputs that a search starts from, and the folder it may throw away."""

    faces: Path = Path("data/faces.safetensors")
    source: Path = Path("models/source.safetensors")
    features: Path = Path("data/features.safetensors")
    scratch: Path = Path(".cache")


@dataclass(frozen=True)
class Problem:
    """Heads to be fitted on one set of features by one recipe."""

    params: Params
    starting_point: StartingPoint
    features: Features
    compute: Compute

    @classmethod
    def load(cls, params: Params, files: Files) -> Problem:
        """Read what the stages wrote; raises StaleInputError, ConfigError or WeightsError.

        Features that were made for another recipe are made anew, once, in the scratch folder.
        """
        recipe = params.tune.recipe or params.recipe
        chosen = params.recipes[recipe]
        if chosen.batchnorm not in ("freeze", "recalibrate") or chosen.augment.random:
            raise ConfigError(
                "params.yaml: tune.recipe",
                f"{recipe!r} changes the features from epoch to epoch, so none can be cached",
                "name a recipe with batchnorm freeze or recalibrate, and no random augmentation",
            )
        if not chosen.head_rate:
            raise ConfigError(
                "params.yaml: tune.recipe",
                f"the multipliers of {recipe!r} make the head's learning rate 0",
                "give `head` more than 0",
            )
        for path in (files.faces, files.source, files.features):
            if not path.is_file():
                raise StaleInputError(str(path), "no such file", "run `dvc repro embed`")
        starting_point = StartingPoint.load(files.faces, files.source)
        features = Features.load(files.features)
        compute = resolve(params.engine.device, params.engine.precision)
        problem = cls(params, starting_point, features, compute)
        return problem._with_suited_features(files)

    def _with_suited_features(self, files: Files) -> Problem:
        job, given = self.any_fit, self.features.provenance
        wanted = job.provenance()
        if (given.faces, given.source) != (wanted.faces, wanted.source):
            what = "made from another version of the dataset, or from other weights"
            raise StaleInputError(str(files.features), what, "run `dvc repro embed`")
        features = self.features
        if not features_match(features, job):
            features = cached_features(job, files.scratch)
        moved = features.to(self.compute.device)
        return Problem(self.params, self.starting_point, moved, self.compute)

    @property
    def recipe(self) -> Recipe:
        """The recipe of every trial, before its own learning rate and weight decay."""
        return self.params.recipes[self.params.tune.recipe or self.params.recipe]

    @property
    def classes(self) -> int:
        """Subjects that a head tells apart."""
        return len(self.starting_point.faces.subjects)

    @property
    def val_images(self) -> int:
        """What a validation accuracy is a share of."""
        return len(self.features.val_labels)

    @cached_property
    def objective(self) -> dict[str, Any]:
        """All that decides which trials there are and what each finds, as JSON.

        Of a wave, no trial knows of the others' values when it is drawn, nor when it is pruned.
        """
        tune = self.params.tune
        features = asdict(self.any_fit.provenance())
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
    def any_fit(self) -> TrainingJob:
        """A fit that stands for all of them, where the head does not matter."""
        return self.fit(TrialParams((64,), (0.0,), 1e-3, 1e-3, 64))

    def fit(self, candidate: TrialParams) -> TrainingJob:
        """The candidate as the experiment that `dvc repro` would run, by `recipe`."""
        experiment = candidate.experiment(self.params.tune.epochs, self.params.tune.recipe)
        return TrainingJob.of(
            "tune",
            self.params,
            self.starting_point,
            Path(),
            experiment=experiment,
            compute=self.compute,
        )

    def task(self, candidate: TrialParams) -> HeadTask:
        """The candidate as the batched engine takes it."""
        return head_task(self.fit(candidate))
