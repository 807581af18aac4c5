"""The search space, and the conversion between a trial's parameters and a head to train."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from src.config import BEST_NAME, Experiment, Head, Params, Space

if TYPE_CHECKING:
    from optuna import Trial


@dataclass(frozen=True)
class TrialParams:
    """One point of the space: a head, and the settings that it trains with."""

    hidden: tuple[int, ...]
    dropout: tuple[float, ...]
    learning_rate: float
    weight_decay: float
    batch_size: int

    @classmethod
    def of(cls, params: Mapping[str, Any], space: Space) -> TrialParams:
        """From the parameters of an Optuna trial, which lack what `space` fixes."""
        layers = range(1, params.get("layers", space.layers[0]) + 1)
        return cls(
            tuple(params.get(f"width_{layer}", space.width[0]) for layer in layers),
            tuple(params.get(f"dropout_{layer}", space.dropout[0]) for layer in layers),
            params.get("learning_rate", space.learning_rate[0]),
            params.get("weight_decay", space.weight_decay[0]),
            params.get("batch_size", space.batch_size[0]),
        )

    def experiment(self, epochs: int, recipe: str | None) -> Experiment:
        """The same as an entry under `experiments` in params.yaml."""
        return Experiment(
            train=("head",),
            head=Head(hidden=self.hidden, dropout=self.dropout),
            batch_size=self.batch_size,
            epochs=epochs,
            recipe=recipe,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
        )

    def __str__(self) -> str:
        layers = zip(self.hidden, self.dropout, strict=True)
        head = " + ".join(f"{width} (dropout {rate:.2f})" for width, rate in layers)
        return (
            f"{head}, batch size {self.batch_size}, learning rate {self.learning_rate:.2g}, "
            f"weight decay {self.weight_decay:.2g}"
        )


def suggest(trial: Trial, space: Space) -> TrialParams:
    """Have the trial's sampler choose a point; what `space` fixes is not suggested."""
    if len(space.layers) > 1:
        trial.suggest_int("layers", *space.layers)
    for layer in range(1, trial.params.get("layers", space.layers[0]) + 1):
        if len(space.width) > 1:
            trial.suggest_int(f"width_{layer}", *space.width, log=True)
        if len(space.dropout) > 1:
            trial.suggest_float(f"dropout_{layer}", *space.dropout)
    if len(space.learning_rate) > 1:
        trial.suggest_float("learning_rate", *space.learning_rate, log=True)
    if len(space.weight_decay) > 1:
        trial.suggest_float("weight_decay", *space.weight_decay, log=True)
    if len(space.batch_size) > 1:
        trial.suggest_categorical("batch_size", space.batch_size)
    return TrialParams.of(trial.params, space)


def published_heads(params: Params) -> dict[str, dict[str, Any]]:
    """Trial parameters, by name, of the MLP heads under `experiments` whose shape is in the space.

    A learning rate, weight decay or batch size outside the space is moved to the nearest in it.
    """
    space, found = params.tune.space, {}
    common = params.recipes[params.tune.recipe or params.recipe]
    for name, experiment in params.experiments.items():
        head = experiment.head
        published = name != BEST_NAME and experiment.train == ("head",) and head.hidden
        alike = experiment.features is None and experiment.start == "source"
        if not published or not alike or not _contains(space, head):
            continue
        recipe = experiment.adapted(common)
        batch_size = min(space.batch_size, key=lambda size: abs(size - experiment.batch_size))
        chosen: dict[str, Any] = {"layers": len(head.hidden)}
        for layer, (width, rate) in enumerate(zip(head.hidden, head.rates, strict=True), 1):
            chosen |= {f"width_{layer}": width, f"dropout_{layer}": rate}
        # A trial has the common multipliers; where these are its own, the ratio is exactly 1.
        ratio = recipe.multipliers.get("head", 1.0) / common.multipliers.get("head", 1.0)
        chosen["learning_rate"] = _clipped(recipe.learning_rate * ratio, space.learning_rate)
        chosen["weight_decay"] = _clipped(recipe.weight_decay, space.weight_decay)
        chosen["batch_size"] = batch_size
        found[name] = {key: value for key, value in chosen.items() if not _fixed(key, space)}
    return found


def _contains(space: Space, head: Head) -> bool:
    return (
        space.layers[0] <= len(head.hidden) <= space.layers[-1]
        and all(space.width[0] <= width <= space.width[-1] for width in head.hidden)
        and all(space.dropout[0] <= rate <= space.dropout[-1] for rate in head.rates)
    )


def _clipped(value: float, bounds: tuple[float, ...]) -> float:
    return min(max(value, bounds[0]), bounds[-1])


def _fixed(parameter: str, space: Space) -> bool:
    key = parameter.rsplit("_", 1)[0] if parameter[-1].isdigit() else parameter
    return len(getattr(space, key)) == 1
