"""The threshold of a registered model, beside its weights and known by its md5.

A run logs its model when it has trained; the threshold is known only later, once all runs have.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from src.errors import StaleInputError
from src.files import digest
from src.models.threshold import Threshold
from src.tracking.champion import ATTACHED, MODEL_MD5, THRESHOLD_MD5, versions_of
from src.tracking.store import Backend, reachable

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.store.artifact.artifact_repo import ArtifactRepository

FILE = Path("artifacts") / ATTACHED  # among a version's files


def attach(backend: Backend, version: ModelVersion, path: Path) -> ModelVersion:
    """Put the threshold in `path` beside the weights of a version, in place of any other.

    It goes to the version's files themselves, which outlive the deletion of the logged model in
    MLflow's pages. Returns the version with the threshold's tag. Raises StaleInputError where it is
    that of another model.
    """
    if Threshold.load(path).model != version.tags.get(MODEL_MD5):
        what = "the threshold of another model than the one to register"
        raise StaleInputError(str(path), what, "run `dvc repro evaluate`")
    md5, client = digest(path), backend.client
    if version.tags.get(THRESHOLD_MD5) == md5 and _is_whole(backend, version):
        return version
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / FILE
        copy.parent.mkdir(parents=True)
        shutil.copy(path, copy)
        _artifacts(backend, version).log_artifacts(folder)
    client.set_model_version_tag(version.name, str(version.version), THRESHOLD_MD5, md5)
    return client.get_model_version(version.name, str(version.version))


@reachable()
def restore(backend: Backend, path: Path) -> list[ModelVersion]:
    """Attach the threshold in `path` to the versions of its model that have lost their own.

    One whose file was changed has lost it; one that was registered without any has not. Returns
    those versions. Raises WeightsError where there is no threshold in `path`.
    """
    versions = versions_of(backend, Threshold.load(path).model)
    with_one = [version for version in versions if THRESHOLD_MD5 in version.tags]
    lost = [version for version in with_one if not _is_whole(backend, version)]
    return [attach(backend, version, path) for version in lost]


def _is_whole(backend: Backend, version: ModelVersion) -> bool:
    """Whether a version has the threshold that it was registered with, which is small to fetch."""
    artifacts = _artifacts(backend, version)
    if str(FILE) not in {each.path for each in artifacts.list_artifacts(str(FILE.parent))}:
        return False
    with tempfile.TemporaryDirectory() as folder:
        copy = artifacts.download_artifacts(str(FILE), folder)
        return bool(digest(Path(copy)) == version.tags[THRESHOLD_MD5])


def _artifacts(backend: Backend, version: ModelVersion) -> ArtifactRepository:
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    return get_artifact_repository(version.source, tracking_uri=backend.uri)
