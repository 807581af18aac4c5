"""Jobs of the small project that the `project` fixture makes and enters."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from src import paths
from src.config import load_params
from src.training.job import StartingPoint, TrainingJob
from tests.training.conftest import CPU32


def job_of(name: str, scratch: Path) -> TrainingJob:
    """The job of one experiment, in float32 on the CPU."""
    starting_point = StartingPoint.load(paths.FACES, paths.SOURCE)
    return replace(TrainingJob.of(name, load_params(), starting_point, scratch), compute=CPU32)
