"""Under which names MLflow keeps what comes out."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from src.config.section import Section

# What MLflow takes for both; `/` and `:` separate the parts of a model's address.
MlflowName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=200)]


class Tracking(Section):
    """MLflow's experiment, which holds the runs, and the registered model, one per purpose."""

    experiment: MlflowName = "face-finetune"
    model: MlflowName = "face-classifier"
