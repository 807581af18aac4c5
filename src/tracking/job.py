"""A job as its run describes it: all that decides the bits of the trained network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from src.closure import code_digest

if TYPE_CHECKING:
    from src.training.job import TrainingJob

CODE, WEIGHTS = "code.digest", "weights.md5"  # tags


def job_params(job: TrainingJob) -> dict[str, Any]:
    """The run's parameters, including defaults and the recipe of the experiment."""
    experiment, params = job.experiment, job.params
    return {
        "seed": job.seed,
        "data": params.data.model_dump(),
        "weights": {"origin": job.source.origin, "licence": job.source.licence},
        "model": params.model.model_dump(),
        "experiment": experiment.model_dump(exclude={"recipe", "learning_rate", "seeds"}),
        "recipe": {"name": experiment.recipe or params.recipe, **job.recipe.model_dump()},
        "engine": {  # the keys that can change a result
            "device": params.engine.device,
            "precision": params.engine.precision,
            "cache_prefix": params.engine.cache_prefix,
        },
    }


def job_tags(job: TrainingJob) -> dict[str, str]:
    """The code that trains, the source weights' md5, and the machine with its fingerprint."""
    from src.training.fingerprint import Fingerprint

    return {
        "device": job.compute.name,
        "precision": str(job.compute.dtype).removeprefix("torch."),
        CODE: code_digest("src.training.engine"),
        WEIGHTS: job.starting_point.source_digest,
        **Fingerprint.of(job.compute).tags,
    }
