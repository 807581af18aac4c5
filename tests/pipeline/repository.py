"""A repository with the pipeline in it, and commands run there as a user runs them."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from src.config import PARAMS, read_yaml
from src.config.presets import merged
from src.files import write_json
from tests.shipped import ROOT, SHIPPED

CODE = ("src", "pipelines")
FOLDERS = ("conf", "data", "weights", "studies", "tune")
FILES = ("params.yaml", "dvc.yaml", ".dvcignore", ".gitignore")
CACHES = shutil.ignore_patterns("__pycache__")
SMALL = {
    "data": {"origin": "data/smoke.yaml", "image_size": 32},
    # DVC leaves git's index such that `git restore` passes over a file of the same size, as the
    # figures of strangers may be after an experiment; without strangers there are none.
    "unknown": {"origin": "data/nobody.yaml"},
    "weights": {"origin": "weights/scratch.yaml"},
    "model": {"backbone": "mobilenet_v3_small", "stem": "standard"},
    "experiments": {
        "Baseline": {"train": ["head"], "batch_size": 8, "epochs": 1},
        "Last": {"train": ["head", "features.12"], "batch_size": 8, "epochs": 1},
    },
}


class Repository:
    """A folder with git, DVC and MLflow of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        binaries = Path(sys.executable).parent
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "DVC_"))}
        path = f"{binaries}{os.pathsep}{os.environ['PATH']}"
        self.environment = inherited | {
            "PATH": path,
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "DVC_NO_ANALYTICS": "1",
        }

    @classmethod
    def with_pipeline(cls, folder: Path, settings: Mapping[str, Any] | None = None) -> Repository:
        """A new repository with a copy of this project's code, committed.

        `settings` change params.yaml; its experiments take the place of all that are shipped.
        """
        for name in CODE:
            shutil.copytree(ROOT / name, folder / name, ignore=CACHES)
        for name in FOLDERS:
            shutil.copytree(SHIPPED / name, folder / name)
        for name in FILES:
            shutil.copy(SHIPPED / name, folder / name)
        if settings:
            shipped = {k: v for k, v in read_yaml(folder / PARAMS).items() if k != "experiments"}
            write_json(folder / PARAMS, merged(shipped, settings))  # JSON is YAML
        made = cls(folder)
        made.run("git", "init", "-q", "-b", "main")
        made.name_author()
        made.run("dvc", "init", "-q")
        shutil.copytree(SHIPPED / ".dvc/plots", folder / ".dvc/plots")
        made.run("dvc", "config", "core.analytics", "false")
        made.commit("Start")
        return made

    def clone(self, folder: Path) -> Repository:
        """A clone of what is committed, in a folder that there is not yet."""
        self.run("git", "clone", "-q", ".", str(folder))
        made = Repository(folder)
        made.name_author()
        return made

    def name_author(self) -> None:
        """Give git a name for commits."""
        self.run("git", "config", "user.email", "tests@example.org")
        self.run("git", "config", "user.name", "Tests")

    def run(self, *command: str, fails: bool = False) -> str:
        """What a command prints; asserts that it succeeds, or fails."""
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        output = done.stdout + done.stderr
        assert (done.returncode != 0) == fails, output
        return output

    def commit(self, message: str) -> None:
        """Commit everything."""
        self.run("git", "add", ".")
        self.run("git", "commit", "-qm", message)

    def stages_run(self, *arguments: str) -> set[str]:
        """The stages that `dvc repro` or `dvc exp run` ran."""
        lines = self.run("dvc", *arguments).splitlines()
        return {line.split("'")[1] for line in lines if line.startswith("Running stage '")}

    def table(self, query: str, *values: str) -> list[tuple[str, ...]]:
        """Rows of MLflow's database."""
        with sqlite3.connect(self.folder / "mlruns/mlflow.db") as database:
            return database.execute(query, values).fetchall()
