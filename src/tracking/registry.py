"""The one model that is in use: registered as `face-classifier`, alias `champion`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from src.errors import TrackingError
from src.tracking.reconcile import ensure_run
from src.tracking.store import Store, locked, open_store

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

MODEL, ALIAS = "face-classifier", "champion"
ACCURACY, DATA, NAME = "val_accuracy", "data.md5", "experiment"


@dataclass(frozen=True)
class Promotion:
    """What became of a candidate, and why."""

    version: int
    promoted: bool
    reason: str

    @property
    def sentence(self) -> str:
        """The verdict in words."""
        verdict = "is now the champion" if self.promoted else "is not promoted"
        return f"{MODEL} version {self.version} {verdict}: {self.reason}"


def promote(record: Path, val_accuracy: float) -> Promotion:
    """Register the model of the run in `record`, and make it the champion if it is better.

    Better is a higher validation accuracy on the same dataset version; a tie keeps the champion.
    A champion of another dataset version is no measure, and gives way. The run is rebuilt first
    where it is missing. Raises TrackingError.
    """
    run_id, store = ensure_run(record), open_store()
    with locked(store.uri):
        version = _register(store, run_id, val_accuracy)
        champion = find_champion(store)
        promoted, reason = _verdict(version, champion)
        if promoted:
            store.client.set_registered_model_alias(MODEL, ALIAS, str(version.version))
    return Promotion(int(version.version), promoted, reason)


def _verdict(candidate: ModelVersion, champion: ModelVersion | None) -> tuple[bool, str]:
    if champion is None:
        return True, "the first champion"
    if champion.version == candidate.version:
        return False, "it is the champion already"
    name = f"version {champion.version} ({champion.tags.get(NAME, 'unnamed')})"
    if champion.tags.get(DATA) != candidate.tags[DATA]:
        return True, f"the champion, {name}, was trained on another dataset version"
    ours, theirs = float(candidate.tags[ACCURACY]), float(champion.tags[ACCURACY])
    if ours > theirs:
        return True, f"{ours:.4f} against {theirs:.4f} of {name}"
    return False, f"{'a tie with' if ours == theirs else 'below'} {theirs:.4f} of {name}"


def _register(store: Store, run_id: str, val_accuracy: float) -> ModelVersion:
    """The run's version of the registered model, made if need be."""
    from mlflow.exceptions import MlflowException

    client = store.client
    if found := client.search_model_versions(f"name = '{MODEL}' AND run_id = '{run_id}'"):
        return found[0]
    run = client.get_run(run_id)
    if not run.outputs or not run.outputs.model_outputs:
        raise TrackingError(run.info.run_name, "the run has no model", "train it again")
    try:
        client.create_registered_model(MODEL)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    model = client.get_logged_model(run.outputs.model_outputs[0].model_id)
    tags = {
        ACCURACY: repr(val_accuracy),
        DATA: run.data.tags.get(DATA, ""),
        NAME: run.info.run_name,
    }
    return client.create_model_version(
        MODEL, model.artifact_location, run_id, tags, model_id=model.model_id
    )


def find_champion(store: Store) -> ModelVersion | None:
    """The version that bears the alias, or None."""
    from mlflow.exceptions import MlflowException

    try:
        return store.client.get_model_version_by_alias(MODEL, ALIAS)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def champion_weights() -> Path:
    """The champion's model file, fetched if the store is remote; raises TrackingError."""
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    store = open_store()
    champion = find_champion(store)
    if champion is None:
        raise TrackingError(
            f"models:/{MODEL}@{ALIAS}",
            "no champion yet",
            "run `dvc repro register`, or `python -m src.tracking reconcile` after `dvc pull`",
        )
    try:
        folder = download_artifacts(f"{champion.source}/artifacts", tracking_uri=store.uri)
    except (MlflowException, OSError):
        raise TrackingError(
            f"models:/{MODEL}@{ALIAS}", "its files are gone", "delete it in MLflow and register"
        ) from None
    return next(Path(folder).glob("*.safetensors"))
