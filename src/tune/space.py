"""What is searched: from a trial's parameters to a head and how it trains, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from src.config import BEST_NAME, Experiment, Head, Params, Space

if TYPE_CHECKING:
    from optuna import Trial


@dataclass(frozen=True)
class TrialParams:
    """One point of the space."""

    hidden: tuple[int, ...]
    dropout: tuple[float, ...]
    learning_rate: float
    weight_decay: float
    batch_size: int

    def experiment(self, epochs: int, recipe: str | None) -> Experiment:
        """The candidate as an entry of params.yaml's `experiments`."""
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
            f"{head}, batch {self.batch_size}, rate {self.learning_rate:.2g}, "
            f"decay {self.weight_decay:.2g}"
        )


def suggest(trial: Trial, space: Space) -> TrialParams:
    """Ask the trial's sampler for a point; what `space` fixes is no parameter of the trial."""
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
    return trial_params(trial.params, space)


def trial_params(params: Mapping[str, Any], space: Space) -> TrialParams:
    """The point that a trial's parameters stand for."""
    layers = range(1, params.get("layers", space.layers[0]) + 1)
    return TrialParams(
        tuple(params.get(f"width_{layer}", space.width[0]) for layer in layers),
        tuple(params.get(f"dropout_{layer}", space.dropout[0]) for layer in layers),
        params.get("learning_rate", space.learning_rate[0]),
        params.get("weight_decay", space.weight_decay[0]),
        params.get("batch_size", space.batch_size[0]),
    )


def published_heads(params: Params) -> dict[str, dict[str, Any]]:
    """Trial parameters of the MLP heads under `experiments`, where the space holds their shape.

    Rate, decay and batch size are theirs too, moved to the nearest that the space allows.
    """
    space, found = params.tune.space, {}
    for name, experiment in params.experiments.items():
        head = experiment.head
        published = name != BEST_NAME and experiment.train == ("head",) and head.hidden
        if not published or not _holds(space, head):
            continue
        recipe = experiment.adapted(params.recipes[params.tune.recipe or params.recipe])
        batch_size = min(space.batch_size, key=lambda size: abs(size - experiment.batch_size))
        chosen: dict[str, Any] = {"layers": len(head.hidden)}
        for layer, (width, rate) in enumerate(zip(head.hidden, head.rates, strict=True), 1):
            chosen |= {f"width_{layer}": width, f"dropout_{layer}": rate}
        chosen["learning_rate"] = _clipped(recipe.learning_rate, space.learning_rate)
        chosen["weight_decay"] = _clipped(recipe.weight_decay, space.weight_decay)
        chosen["batch_size"] = batch_size
        found[name] = {key: value for key, value in chosen.items() if not _fixed(key, space)}
    return found


def _holds(space: Space, head: Head) -> bool:
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
