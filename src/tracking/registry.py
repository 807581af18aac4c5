"""Registering a model, and deciding whether it becomes the champion."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from src.errors import StaleInputError, TrackingError
from src.files import digest
from src.tracking.attached import attach
from src.tracking.champion import (
    ACCURACY,
    ALIAS,
    CLASSES,
    DATA,
    MODEL_MD5,
    NAME,
    ORIGIN,
    REASON,
    SIZE,
    description,
    find_champion,
    own_record,
    weights_of,
)
from src.tracking.model import has_files, model_of
from src.tracking.reconcile import ensure_run
from src.tracking.record import RunRecord
from src.tracking.store import Backend, Store, locked, open_store, reachable

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

DIGITS = 6  # of the accuracies that training writes, and that are compared here


@dataclass(frozen=True)
class Promotion:
    """Whether a version of the registered model became the champion, and the reason."""

    model: str
    version: int
    promoted: bool
    reason: str

    @property
    def sentence(self) -> str:
        """The result as a sentence."""
        verdict = "is now the champion" if self.promoted else "is not promoted"
        return f"{self.model} version {self.version} {verdict}: {self.reason}"


@reachable()
def promote(
    path: Path, val_accuracy: float, model: str, threshold: Path | None = None
) -> Promotion:
    """Register the model of the run in the record `path`; make it the champion if it is better.

    Better means a higher validation accuracy on the candidate's dataset; a tie keeps the champion.
    A champion of another version of that dataset is scored on the candidate's validation images,
    and is replaced if it was trained for other subjects. Nearly all images keep their split from
    version to version (`src.data.split`), so it has seen few of them in training. A champion of
    another origin, other classes or another image size serves another purpose and stays.

    The run is rebuilt first if it is missing, and lost files of the champion are brought back from
    its own record beside `path`. Where that record is of another network by now, nothing can bring
    them back, and the champion gives way. The version gets the `threshold`, of which
    `src.tracking.attached` tells more. Raises TrackingError, StaleInputError.
    """
    run_id, record = ensure_run(path), RunRecord.read(path)
    store = open_store(record.experiment)
    _restore_champion(store, model, path.parent)
    with locked(store.uri):
        version = _register(store, run_id, record, val_accuracy, model)
        if threshold:
            attach(store, version, threshold)
        champion = find_champion(store, model)
        if champion is not None and champion.version == version.version:
            return Promotion(model, int(version.version), False, "it already is the champion")
        promoted, reason = _verdict(store, version, champion, record, path)
        store.client.set_model_version_tag(model, str(version.version), REASON, reason)
        if promoted:
            store.client.set_registered_model_alias(model, ALIAS, str(version.version))
    return Promotion(model, int(version.version), promoted, reason)


def _restore_champion(store: Store, model: str, runs: Path) -> None:
    """Bring lost files of the champion back, if the folder `runs` has its record and they exist."""
    champion = find_champion(store, model)
    if champion is not None and _is_lost(store, champion) and (own := own_record(champion, runs)):
        with suppress(TrackingError):  # its model file is missing, too
            ensure_run(own)


def _is_lost(backend: Backend, version: ModelVersion) -> bool:
    return not has_files(backend, version.source, version.tags.get(MODEL_MD5, ""))


def _verdict(
    backend: Backend,
    candidate: ModelVersion,
    champion: ModelVersion | None,
    record: RunRecord,
    path: Path,
) -> tuple[bool, str]:
    """Whether the candidate, of the record in `path`, becomes the champion, and the reason."""
    if champion is None:
        return True, "there was none before"
    name = f"version {champion.version} ({description(champion)})"
    for key in (ORIGIN, CLASSES, SIZE):
        if champion.tags.get(key, "") != candidate.tags[key]:
            return False, (
                f"the champion, {name}, is for another purpose than this one "
                f"({description(candidate)}): their {key} differ; "
                "keep one beside the other with `-S tracking.model=NAME`"
            )
    if _is_lost(backend, champion) and not own_record(champion, path.parent):
        return True, f"the files of {name} are lost, and no record in runs/ is of its network"
    theirs, whose = float(champion.tags[ACCURACY]), name
    if champion.tags.get(DATA, "") != candidate.tags[DATA]:
        try:
            theirs = _score(backend, champion, _dataset(record, path))
        except TrackingError as error:
            return False, f"the champion, {name}, cannot be scored on this dataset version: {error}"
        except StaleInputError as error:
            return True, (
                f"the champion, {name}, is of another dataset version and cannot be scored on "
                f"this one ({error.where}: {error.what})"
            )
        whose = f"{name}, scored on this dataset version"
    return _compared(float(candidate.tags[ACCURACY]), theirs, whose)


def _compared(ours: float, theirs: float, whose: str) -> tuple[bool, str]:
    if ours > theirs:
        return True, f"{ours:.4f} against {theirs:.4f} of {whose}"
    return False, f"{'a tie with' if ours == theirs else 'below'} {theirs:.4f} of {whose}"


def _score(backend: Backend, champion: ModelVersion, path: Path | None) -> float:
    """Validation accuracy of a version on the packed dataset in `path`, in full precision.

    Raises StaleInputError if the version was trained for other subjects, TrackingError if its file
    or the dataset is missing.
    """
    from src.data.faceset import FaceSet, Split
    from src.models.classifier import Classifier

    if path is None:
        raise TrackingError(
            "the dataset",
            "missing, or not the version that the run was trained on",
            "run `dvc checkout`",
        )
    classifier, faces = Classifier.load(weights_of(backend, champion)), FaceSet.load(path)
    images, labels = faces.part(Split.val)
    if classifier.subjects != faces.subjects:
        raise StaleInputError("its network", "trained for other subjects", "train it again")
    right = classifier.logits(images).argmax(1) == labels
    return round(right.float().mean().item(), DIGITS)


def _dataset(record: RunRecord, path: Path) -> Path | None:
    """The packed dataset of the run; None if it is missing or has changed."""
    if record.dataset is None:
        return None
    faces = path.parent / record.dataset.path
    return faces if faces.is_file() and digest(faces) == record.dataset.md5 else None


def _register(
    store: Store, run_id: str, record: RunRecord, val_accuracy: float, model: str
) -> ModelVersion:
    """The run's version of the registered model, created if there is none."""
    from mlflow.exceptions import MlflowException

    client = store.client
    if found := client.search_model_versions(f"name = '{model}' AND run_id = '{run_id}'"):
        return found[0]
    logged = model_of(store, run_id)
    if record.model is None or logged is None:
        raise TrackingError(record.name, "the run has no model", "train it again")
    try:
        client.create_registered_model(model)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    tags = {
        ACCURACY: repr(round(val_accuracy, DIGITS)),
        DATA: record.tags.get(DATA, ""),
        ORIGIN: record.tags.get(ORIGIN, ""),
        CLASSES: _classes(record),
        SIZE: record.params.get(SIZE, ""),
        NAME: record.name,
        MODEL_MD5: record.model.md5,
    }
    return client.create_model_version(
        model, logged.artifact_location, run_id, tags, model_id=logged.model_id
    )


def _classes(record: RunRecord) -> str:
    """`data.classes` from the run's parameters as one string, empty if there are none."""
    given = {k: v for k, v in record.params.items() if k.startswith(CLASSES) and v != "{}"}
    return json.dumps(given, sort_keys=True) if given else ""
