"""Where a run comes from: dataset version, code, stage, machine, libraries."""

from __future__ import annotations

import getpass
import os
import platform
import shutil
import socket
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from src.files import digest
from src.tracking.children import STAGE
from src.tracking.record import DatasetVersion

if TYPE_CHECKING:
    from src.data.faceset import FaceSet

LIBRARIES = ("torch", "torchvision", "numpy", "mlflow", "dvc")
# Files that decide a result; changed outputs do not make a work tree dirty.
SOURCES = tuple(f":(top)*.{kind}" for kind in ("py", "yaml", "toml", "dvc"))
STATUS = ("status", "--porcelain", "--untracked-files=all", "--", *SOURCES)
LOCK = Path("dvc.lock")
HOST, PROCESS = "process.host", "process.id"


def dataset_version(path: Path, faces: FaceSet, origin: str) -> DatasetVersion:
    """The version of the packed dataset `faces` in `path`, made from `origin`.

    The origin's md5 is the one in dvc.lock (`.dir` ends that of a folder), or None.
    """
    return DatasetVersion(
        name=Path(origin).name.split(".")[0] or origin,
        path=path.as_posix(),
        md5=digest(path),
        origin=origin,
        origin_md5=_recorded_md5(origin),
        images=len(faces),
        subjects=len(faces.subjects),
    )


def _recorded_md5(path: str) -> str | None:
    if not LOCK.exists():
        return None

    import yaml  # with libyaml: the reader of params.yaml takes a second for a long lock

    stages = yaml.load(LOCK.read_bytes(), Loader=yaml.CSafeLoader).get("stages", {})
    wanted = Path(path).resolve()
    for stage in stages.values():
        for dependency in stage.get("deps", ()):
            if Path(dependency["path"]).resolve() == wanted:
                return str(dependency["md5"]) if "md5" in dependency else None
    return None


def provenance(stage: str, dataset: DatasetVersion | None) -> dict[str, str]:
    """A run's tags; those that start with `mlflow.` fill columns of MLflow's pages."""
    commit, dirty = _git("rev-parse", "HEAD"), _git(*STATUS)
    data = (
        {
            "data.md5": dataset.md5,
            "data.origin": dataset.origin,
            "data.origin_md5": dataset.origin_md5,
        }
        if dataset
        else {}
    )
    tags = {
        "mlflow.user": _user(),
        "mlflow.source.name": stage,
        "mlflow.source.type": "JOB",
        "mlflow.source.git.commit": commit,
        "git.commit": commit,
        "git.dirty": None if dirty is None else str(bool(dirty)).lower(),
        STAGE: stage,
        "dvc.experiment": os.environ.get("DVC_EXP_NAME"),
        **data,
        "version.python": platform.python_version(),
        **{f"version.{name}": _version(name) for name in LIBRARIES},
        **process_tags(),
    }
    return {key: value for key, value in tags.items() if value}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:  # an offline run needs no MLflow
        return None


def _user() -> str | None:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return None


def _git(*arguments: str) -> str | None:
    """The stripped output of a git command; None outside a repository or without git."""
    git = shutil.which("git")
    if git is None:
        return None
    done = subprocess.run(  # noqa: S603
        [git, *arguments], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() if done.returncode == 0 else None


def process_tags() -> dict[str, str]:
    """The host, id and start time of this process, by which `is_orphan` knows its runs."""
    import psutil

    process = psutil.Process()
    return {HOST: socket.gethostname(), PROCESS: f"{process.pid}@{process.create_time():.2f}"}
