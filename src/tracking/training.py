"""What decides a trained network's bits, as its run says it: parameters, code, weights, machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from src.closure import code_digest

if TYPE_CHECKING:
    from src.training.fit import Fit

CODE, WEIGHTS = "code.digest", "weights.md5"  # tags


def fit_params(work: Fit) -> dict[str, Any]:
    """The parameters that an experiment trains by, defaults and its recipe in place."""
    experiment, params = work.experiment, work.params
    return {
        "seed": params.seed,
        "data": params.data.model_dump(),
        "weights": {"origin": work.source.origin, "licence": work.source.licence},
        "model": params.model.model_dump(),
        "experiment": experiment.model_dump(exclude={"recipe", "learning_rate"}),
        "recipe": {"name": experiment.recipe or params.recipe, **work.recipe.model_dump()},
        "engine": {  # what of it can change a result
            "device": params.engine.device,
            "precision": params.engine.precision,
            "cache_prefix": params.engine.cache_prefix,
        },
    }


def fit_tags(work: Fit) -> dict[str, str]:
    """The code that trains, the source weights' md5, and the machine with its fingerprint."""
    from src.training.fingerprint import Fingerprint

    return {
        "device": work.compute.name,
        "precision": str(work.compute.dtype).removeprefix("torch."),
        CODE: code_digest("src.training.engine"),
        WEIGHTS: work.inventory.source_digest,
        **Fingerprint.of(work.compute).tags,
    }
