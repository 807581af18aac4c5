"""The model in use: the version of a registered model with the alias `champion`."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from src import paths
from src.errors import TrackingError, WeightsError
from src.files import digest
from src.tracking.local import LocalVersion, local_version
from src.tracking.record import RunRecord
from src.tracking.store import MISSING, Backend, open_backend, project_root, reachable

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

ALIAS, CHALLENGER = "champion", "challenger"
MOST_DIGITS = 9  # of a version's number; databases overflow at more
ACCURACY, DATA, ORIGIN, NAME = "val_accuracy", "data.md5", "data.origin", "experiment"
MODEL_MD5, REASON = "model.md5", "reason"
THRESHOLD_MD5, ATTACHED = "threshold.md5", Path("threshold/threshold.safetensors")
CLASSES, SIZE = "data.classes", "data.image_size"
LICENCE, ROLLED_BACK = "weights.licence", "rolled_back"
URI = "models:/"
RECONCILE = "`python -m src.tracking reconcile`"


@dataclass(frozen=True)
class Champion:
    """A checked model file, the `name` to show for it, and its threshold's file if it has one."""

    path: Path
    name: str
    threshold: Path | None = None


def champion_of(model: str, which: str = ALIAS) -> Champion:
    """The champion of the registered `model`, downloaded if the store is remote.

    Or the version with another alias or number. Raises TrackingError if there is none, or if its
    file is missing or has changed.
    """
    if which == ALIAS and (local := _local_champion(model)):
        return local
    backend = open_backend()
    version = find_version(backend, model, which)
    path, name = weights_of(backend, version), f"{version_uri(version)} ({description(version)})"
    return Champion(path, name, _threshold_of(version, path))


def _local_champion(model: str) -> Champion | None:
    """The champion of the project's own database; None unless its file is there as registered."""
    version = local_version(model, ALIAS)
    path = next(version.folder.glob("*.safetensors"), None) if version else None
    if version is None or path is None or digest(path) != version.tags.get(MODEL_MD5):
        return None
    name = f"{version_uri(version)} ({description(version)})"
    return Champion(path, name, _threshold_of(version, path))


def version_at(uri: str) -> Champion:
    """The same of `models:/NAME/VERSION` or `models:/NAME@ALIAS`."""
    found = re.fullmatch(rf"{URI}([^/@:]+)(?:/([0-9]+)|@([^/@]+))", uri)
    if found is None:
        what = "not the address of a registered model"
        raise TrackingError(uri, what, "write models:/NAME/VERSION or models:/NAME@ALIAS")
    return champion_of(found[1], found[2] or found[3])


def _threshold_of(version: ModelVersion | LocalVersion, weights: Path) -> Path | None:
    """The checked file of a version's threshold; None where it was registered without one."""
    if (md5 := version.tags.get(THRESHOLD_MD5)) is None:
        return None
    path = weights.parent / ATTACHED
    if not path.is_file() or digest(path) != md5:
        what = f"missing, or not the threshold that was registered as {version_uri(version)}"
        raise TrackingError(str(path), what, _mend_threshold(version))
    return path


def _mend_threshold(version: ModelVersion | LocalVersion) -> str:
    """How a version gets its threshold back, if the project has one of its network by now."""
    from src.models.threshold import Threshold  # imports torch, which takes seconds

    try:
        found = Threshold.load(project_root() / paths.THRESHOLD)
    except WeightsError:
        return f"run `dvc repro evaluate` and {RECONCILE}"
    if found.model == version.tags.get(MODEL_MD5):
        return f"run {RECONCILE}"
    promote = "`python -m src.registry promote VERSION --force --reason TEXT`"
    return f"{paths.THRESHOLD} is of another model, so make another version champion: run {promote}"


@reachable()
def find_version(backend: Backend, model: str, which: str) -> ModelVersion:
    """The version of a registered model with this number or alias; raises TrackingError."""
    if (found := _find(backend, model, which)) is not None:
        return found
    where = f"{URI}{model}{'/' if which.isdecimal() else '@'}{which}"
    if which == ALIAS:
        mend = "run `dvc repro`, then `python -m src.tracking reconcile`"
        raise TrackingError(where, "no champion yet", mend)
    mend = f"choose one that `python -m src.registry --model {model} list` shows"
    raise TrackingError(where, "no such version", mend)


def find_champion(backend: Backend, model: str) -> ModelVersion | None:
    """The version with the alias, or None."""
    return _find(backend, model, ALIAS)


def _find(backend: Backend, model: str, which: str) -> ModelVersion | None:
    from mlflow.exceptions import MlflowException

    if which.isdecimal() and len(which) > MOST_DIGITS:
        return None
    try:
        if which.isdecimal():
            return backend.client.get_model_version(model, which)
        return backend.client.get_model_version_by_alias(model, which)
    except MlflowException as error:
        if error.error_code in MISSING:
            return None
        raise


def versions_of(backend: Backend, md5: str) -> list[ModelVersion]:
    """The registered versions, of any registered model, whose model file has this md5."""
    return list(backend.client.search_model_versions(f"tags.`{MODEL_MD5}` = '{md5}'"))


def weights_of(backend: Backend, version: ModelVersion) -> Path:
    """The model file of a version, checked against its registered md5; raises TrackingError."""
    from mlflow.exceptions import MlflowException

    where = version_uri(version)
    try:
        folder = _artifacts_of(backend, version)
    except (MlflowException, OSError):
        raise TrackingError(where, "its files are missing", _mend(version)) from None
    path = next(folder.glob("*.safetensors"), None)
    if path is None:
        raise TrackingError(where, "its model file is missing", _mend(version))
    if digest(path) != version.tags.get(MODEL_MD5):
        what = f"not the file that was registered as {where}"
        raise TrackingError(str(path), what, _mend(version))
    return path


def _artifacts_of(backend: Backend, version: ModelVersion) -> Path:
    """The folder of a version's weights: its own where the store's files are local, else a copy."""
    from mlflow.artifacts import download_artifacts

    local = Path(version.source, "artifacts")
    if local.is_dir():
        return local
    copy = tempfile.mkdtemp(dir=_copies().name)
    uri = f"{version.source}/artifacts"
    return Path(download_artifacts(uri, dst_path=copy, tracking_uri=backend.uri))


@cache
def _copies() -> tempfile.TemporaryDirectory[str]:
    """A folder that goes when the process ends; those that MLflow itself makes would stay."""
    return tempfile.TemporaryDirectory()


def _mend(version: ModelVersion) -> str:
    """The command that brings a version's files back, or makes another version champion."""
    own = own_record(version, project_root() / paths.RUNS)
    if own is None:
        return "run `python -m pipelines.register`, which promotes the best there is"
    model = RunRecord.read(own).model
    file = own.parent / model.path if model else own
    whole = file.is_file() and digest(file) == version.tags.get(MODEL_MD5)
    return f"run {RECONCILE}" if whole else f"run `dvc pull` and {RECONCILE}"


def own_record(version: ModelVersion, runs: Path) -> Path | None:
    """The record in the folder `runs` that is of a version's network; None if there is none."""
    path = runs / paths.run_record(version.tags.get(NAME, "")).name
    try:
        model = RunRecord.read(path).model
    except TrackingError:
        return None
    return path if model and model.md5 == version.tags.get(MODEL_MD5) else None


def version_uri(version: ModelVersion | LocalVersion) -> str:
    """The URI by which MLflow loads a version."""
    return f"{URI}{version.name}/{version.version}"


def description(version: ModelVersion | LocalVersion) -> str:
    """The experiment and the dataset that a version comes from."""
    return f"{version.tags.get(NAME, 'unnamed')} on {version.tags.get(ORIGIN) or 'unknown data'}"
