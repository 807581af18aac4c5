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

    Returns the version with the threshold's tag. Raises StaleInputError where it is that of another
    model.
    """
    if Threshold.load(path).model != version.tags.get(MODEL_MD5):
        what = "the threshold of another model than the one to register"
        raise StaleInputError(str(path), what, "run `dvc repro evaluate`")
    md5, client = digest(path), backend.client
    outputs = client.get_run(version.run_id).outputs
    model_id = outputs.model_outputs[0].model_id
    listed = client.list_logged_model_artifacts(model_id, f"artifacts/{ATTACHED.parent}")
    if version.tags.get(THRESHOLD_MD5) == md5 and listed:
        return version
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "artifacts" / ATTACHED
        copy.parent.mkdir(parents=True)
        shutil.copy(path, copy)
        client.log_model_artifacts(model_id, folder)
    client.set_model_version_tag(version.name, str(version.version), THRESHOLD_MD5, md5)
    return client.get_model_version(version.name, str(version.version))
