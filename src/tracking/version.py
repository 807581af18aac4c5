"""Registering a run's model as a version, whose tags tell all that its use may ask for.

The names, the preprocessing and the temperature are in the model file itself, and the threshold
lies beside it; the version's tags say which dataset, machine and source weights it comes from, and
under which licence.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from src.errors import TrackingError
from src.tracking.champion import ACCURACY, CLASSES, DATA, LICENCE, MODEL_MD5, NAME, ORIGIN, SIZE
from src.tracking.model import model_of
from src.tracking.record import RunRecord
from src.tracking.store import Store

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

DIGITS = 6  # of the accuracies that training writes
# Of a run's tags; those of its fingerprint are copied, too.
COPIED = ("data.origin_md5", "weights.md5", "code.digest", "git.commit", "git.dirty")
# Not from `src.training.fingerprint`: registering would then depend on the code that trains.
FINGERPRINT = "fingerprint."
PARAMETERS = (LICENCE, "weights.origin", "model.backbone")


def ensure_registered_model(store: Store, model: str) -> None:
    """Create the registered model unless it is there."""
    from mlflow.exceptions import MlflowException

    try:
        store.client.create_registered_model(model)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def register(
    store: Store, run_id: str, record: RunRecord, val_accuracy: float, model: str
) -> ModelVersion:
    """The run's version of the registered model, created if there is none."""
    client, tags = store.client, _tags(record, val_accuracy)
    if found := client.search_model_versions(f"name = '{model}' AND run_id = '{run_id}'"):
        version = found[0]
        for key in tags.keys() - version.tags.keys():  # it was registered by an earlier release
            client.set_model_version_tag(model, str(version.version), key, tags[key])
        return version
    logged = model_of(store, run_id)
    if record.model is None or logged is None:
        raise TrackingError(record.name, "the run has no model", "train it again")
    location, model_id = logged.artifact_location, logged.model_id
    return client.create_model_version(model, location, run_id, tags, model_id=model_id)


def _tags(record: RunRecord, val_accuracy: float) -> dict[str, str]:
    given = {key: record.tags[key] for key in COPIED if key in record.tags}
    given |= {key: text for key, text in record.tags.items() if key.startswith(FINGERPRINT)}
    given |= {key: record.params[key] for key in PARAMETERS if key in record.params}
    return given | {
        ACCURACY: repr(round(val_accuracy, DIGITS)),
        DATA: record.tags.get(DATA, ""),
        ORIGIN: record.tags.get(ORIGIN, ""),
        CLASSES: _classes(record),
        SIZE: record.params.get(SIZE, ""),
        NAME: record.name,
        MODEL_MD5: record.model.md5 if record.model else "",
    }


def _classes(record: RunRecord) -> str:
    """`data.classes` from the run's parameters as one string, empty if there are none."""
    given = {k: v for k, v in record.params.items() if k.startswith(CLASSES) and v != "{}"}
    return json.dumps(given, sort_keys=True) if given else ""
