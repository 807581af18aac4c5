"""The search for ModelD's head, and what it found."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from src.config.section import Count, Name, Positive, Probability, Section
from src.config.training import Experiment


class Space(Section):
    """The search space: `[low, high]`, or `[value]` for what is fixed."""

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
    recipe: str | None = None  # a name under `recipes`; null for the one of all experiments
    sampler: Literal["tpe", "random"] = "tpe"
    pruner: Literal["halving", "median", "none"] = "halving"
    seeds: Count = 3  # number of seeds that the best head is trained again with
    heartbeat: Count = 10  # seconds; used only on a server
    space: Space = Space()


class SearchResult(Section):
    """All of tune/best.yaml: the experiment that a search wrote, or none."""

    best: dict[Name, Experiment] = Field(default_factory=dict)
