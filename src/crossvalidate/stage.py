"""The DVC stage of a cross-validation, in a DVC file of its own.

The file is written when the command is first used: a stage that had never run would make
`dvc status` of every project report it.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from src import paths
from src.closure import import_closure
from src.config import BEST, BEST_NAME
from src.crossvalidate import outputs
from src.files import write_text

MODULE = "pipelines.crossvalidate"
HEADER = """\
# Written by `python -m src.crossvalidate`; `dvc repro crossvalidation/dvc.yaml` runs it again.
"""
PARAMS = (
    "seed",
    "data",
    "model",
    "recipe",
    "recipes",
    "engine.device",
    "engine.precision",
    "engine.cache_prefix",
    "tracking.experiment",
)


def write_stage(names: Sequence[str], folds: int) -> None:
    """Write the stage that cross-validates the experiments `names`."""
    from ruamel.yaml import YAML

    text = io.StringIO()
    yaml = YAML()
    yaml.dump({"stages": {"crossvalidate": stage(names, folds)}}, text)
    write_text(outputs.PIPELINE, HEADER + text.getvalue())


def stage(names: Sequence[str], folds: int) -> dict[str, Any]:
    """The stage as dvc.yaml has it: with all code that it may run, and what it reads and writes."""
    inputs = (paths.FACES, paths.SOURCE, *import_closure(MODULE))
    own = [f"experiments.{name}" for name in names if name != BEST_NAME]
    searched = [{BEST.as_posix(): [f"best.{BEST_NAME}"]}] if BEST_NAME in names else []
    return {
        "wdir": "..",
        "cmd": f"python -m {MODULE} --folds {folds} {' '.join(names)}",
        "deps": [path.as_posix() for path in inputs],
        "params": [*PARAMS, *own, *searched],
        "outs": [path.as_posix() for path in (outputs.PREDICTIONS, outputs.TABLE, outputs.FIGURE)],
        "metrics": [{outputs.METRICS.as_posix(): {"cache": False}}],
    }
