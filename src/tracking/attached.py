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
from src.tracking.champion import ATTACHED, MODEL_MD5, THRESHOLD_MD5
from src.tracking.store import Backend

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion


def attach(backend: Backend, version: ModelVersion, path: Path) -> ModelVersion:
    """Put the threshold in `path` beside the weights of a version, in place of any other.

    It goes to the version's files themselves, which outlive the deletion of the logged model in
    MLflow's pages. Returns the version with the threshold's tag. Raises StaleInputError where it is
    that of another model.
    """
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    if Threshold.load(path).model != version.tags.get(MODEL_MD5):
        what = "the threshold of another model than the one to register"
        raise StaleInputError(str(path), what, "run `dvc repro evaluate`")
    md5, client = digest(path), backend.client
    artifacts = get_artifact_repository(version.source, tracking_uri=backend.uri)
    listed = artifacts.list_artifacts(f"artifacts/{ATTACHED.parent}")
    if version.tags.get(THRESHOLD_MD5) == md5 and listed:
        return version
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "artifacts" / ATTACHED
        copy.parent.mkdir(parents=True)
        shutil.copy(path, copy)
        artifacts.log_artifacts(folder)
    client.set_model_version_tag(version.name, str(version.version), THRESHOLD_MD5, md5)
    return client.get_model_version(version.name, str(version.version))
