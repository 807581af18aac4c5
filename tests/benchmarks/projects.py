"""Jobs of the small project that the `project` fixture makes and enters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from src import paths
from src.config import PARAMS, Params, load_params, read_yaml
from src.config.presets import merged
from src.training.job import StartingPoint, TrainingJob
from tests.training.conftest import CPU32


def job_of(name: str, scratch: Path) -> TrainingJob:
    """The job of one experiment, in float32 on the CPU."""
    starting_point = StartingPoint.load(paths.FACES, paths.SOURCE)
    return replace(TrainingJob.of(name, load_params(), starting_point, scratch), compute=CPU32)


def change_params(project: Path, changes: Mapping[str, Any]) -> Params:
    """Write `changes` into the project's params.yaml, as a preset would."""
    raw = merged(read_yaml(project / PARAMS), changes)
    YAML().dump(raw, project / PARAMS)
    return load_params(project / PARAMS)
