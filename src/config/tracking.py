"""The names of the experiment and the registered model in MLflow."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from src.config.section import Section

# MLflow allows more, but `/` and `:` separate the parts of a model's URI.
MlflowName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=200)]


class Tracking(Section):
    """MLflow's experiment, which holds the runs, and the registered model."""

    experiment: MlflowName = "face-finetune"
    model: MlflowName = "face-classifier"
