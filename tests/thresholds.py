"""A threshold for `unknown` as a stage might have set it, for a model that nobody trained."""

from __future__ import annotations

import torch

from src.files import digest
from src.models.threshold import Threshold
from tests.tracking.projects import Project


def threshold_for(project: Project, value: float) -> Threshold:
    """A threshold of the model file by its largest probability, as log-odds."""
    return Threshold(
        model=digest(project.model),
        experiment="ModelA",
        score="probability",
        value=value,
        far=0.01,
        floor=0.3,
        level=0.9,
        means=torch.randn(3, 1280, generator=torch.Generator().manual_seed(0)),
    )
