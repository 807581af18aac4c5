"""The search for ModelD's head, and what it found."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from src.config.section import Count, Name, Positive, Probability, Section
from src.config.training import Experiment


class Space(Section):
    """What a search may choose: `[low, high]`, or `[value]` to fix it; see `src/tune/space.py`."""

    layers: tuple[Annotated[int, Field(ge=1, le=8)], ...] = (1, 3)
    """Number of hidden layers."""
    width: tuple[Annotated[int, Field(ge=1, le=16384)], ...] = (64, 2048)
    """Units of each hidden layer, drawn on a logarithmic scale."""
    dropout: tuple[Probability, ...] = (0.0, 0.7)
    """Dropout probability of each hidden layer."""
    learning_rate: tuple[Positive, ...] = (1e-4, 1e-2)
    """Peak learning rate, drawn on a logarithmic scale."""
    weight_decay: tuple[Positive, ...] = (1e-4, 0.5)
    """Weight decay, drawn on a logarithmic scale."""
    batch_size: tuple[Count, ...] = Field(default=(32, 64, 128), min_length=1)
    """The batch sizes to choose from."""

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
    """Name of the Optuna study in the storage."""
    storage: str = Field(default="sqlite:///mlruns/optuna.db", min_length=1)
    """Any URL that Optuna takes, without a password; several workers need PostgreSQL. The
    environment variable OPTUNA_STORAGE, which may hold a password, comes before it."""
    trials: Count = 50
    """Total trials of the study, however often it is stopped and resumed."""
    epochs: Count = 100
    """Epochs of a trial that is not pruned."""
    wave: Count = 10
    """Trials that train together as one batched problem."""
    recipe: str | None = None
    """A name under `recipes`, with batchnorm freeze or recalibrate; null takes the common one."""
    sampler: Literal["tpe", "random"] = "tpe"
    """How trials are proposed."""
    pruner: Literal["halving", "median", "none"] = "halving"
    """How unpromising trials are stopped early."""
    seeds: Count = 3
    """Seeds with which the best head is trained again at the end."""
    heartbeat: Count = 10
    """Seconds; in a shared storage, a worker silent for three heartbeats counts as dead."""
    space: Space = Space()
    """What the search may choose."""


class SearchResult(Section):
    """All of tune/best.yaml: the experiments that a search found, empty before the first."""

    best: dict[Name, Experiment] = Field(default_factory=dict)
