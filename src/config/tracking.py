"""The names under which MLflow keeps runs and models."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from src.config.section import Section

# What MLflow accepts for both; `/` and `:` separate the parts of a model's URI.
MlflowName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=200)]


class Tracking(Section):
    """The names under which MLflow keeps runs and models."""

    experiment: MlflowName = "face-finetune"
    """MLflow's experiment, which holds the runs."""
    model: MlflowName = "face-classifier"
    """The registered model, one per purpose; its alias `champion` is the version in use."""
    gate: Literal["higher", "significant"] = "higher"
    """Whether a new champion must be right on more validation images than the old one, or on
    significantly more by McNemar's test. No worse at half the cost is enough for either."""
    offline: bool = False
    """Whether stages and searches leave MLflow alone. `python -m src.tracking reconcile` sends the
    runs of `train` later, the command of a search its own when it is repeated, and
    `dvc repro --force --single-item crossvalidation/dvc.yaml` those of a cross-validation."""
