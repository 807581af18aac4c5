"""Making the runs that DVC's restored outputs speak of and the store does not have, once each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from src.errors import TrackingError
from src.files import digest
from src.tracking.model import log_model
from src.tracking.provenance import process_tags
from src.tracking.record import Point, RunRecord, now
from src.tracking.run import close_orphans
from src.tracking.store import Store, locked, open_store
from src.tracking.writing import log_file, log_points, start_run

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FROM, MODEL_MD5, WITHOUT = "reconciled.from", "reconciled.model_md5", "reconciled.without"
TEST_SCORES = ("accuracy", "accuracy_low", "accuracy_high", "top5")
EXAMPLES = 2  # pictures in a rebuilt model's input example


@dataclass(frozen=True)
class Reconciled:
    """The run that a record speaks of, and whether it had to be made."""

    run_id: str
    rebuilt: bool


def ensure_run(path: Path) -> str:
    """The id of the run that the record in `path` describes, rebuilt first where it is missing.

    Raises TrackingError where the record, or the model file it names, is missing or another.
    """
    return reconcile(path).run_id


def reconcile(path: Path) -> Reconciled:
    """As `ensure_run`, telling which of the two it was."""
    store, record = open_store(), RunRecord.read(path)
    with locked(store.uri):  # two commands may find it missing at once
        if found := _find(store, record):
            return Reconciled(found, rebuilt=False)
        return Reconciled(_rebuild(store, record, path.parent), rebuilt=True)


def _find(store: Store, record: RunRecord) -> str | None:
    """The id of a record's run: its own, or that of the run rebuilt from it; None if neither is.

    A run that was deleted in MLflow's pages counts, and is restored; one whose process was killed
    after its record was written is ended.
    """
    from mlflow.entities import ViewType
    from mlflow.exceptions import MlflowException

    try:
        run = store.client.get_run(record.run_id)
    except MlflowException:
        rebuilt = f"tags.`{FROM}` = '{record.run_id}' AND attributes.status = 'FINISHED'"
        runs = store.client.search_runs([store.experiment_id], rebuilt, ViewType.ALL, 1)
        if not runs:
            return None
        run = runs[0]
    if run.info.lifecycle_stage == "deleted":
        store.client.restore_run(run.info.run_id)
    if run.info.status != "FINISHED":
        store.client.set_terminated(run.info.run_id, "FINISHED", record.ended)
    return str(run.info.run_id)


def _rebuild(store: Store, record: RunRecord, folder: Path) -> str:
    """The run once more, with its times and under a new id."""
    weights = _checked_model(record, folder)
    close_orphans(store)
    tags = {**record.tags, **process_tags(), FROM: record.run_id}
    if record.model:
        tags[MODEL_MD5] = record.model.md5
    run_id = start_run(store, record.name, record.started, record.params, tags, record.dataset)
    try:
        log_points(store, run_id, record.points)
        _log_files(store, run_id, record, folder)
        if weights:
            log_model(store, run_id, record.name, weights, _example(record, folder, weights))
    except BaseException:
        store.client.set_terminated(run_id, "FAILED")
        store.client.delete_run(run_id)
        raise
    store.client.set_terminated(run_id, "FINISHED", record.ended)
    return run_id


def _log_files(store: Store, run_id: str, record: RunRecord, folder: Path) -> None:
    missing = []
    for file in record.artifacts:
        if (folder / file.path).is_file():
            log_file(store, run_id, folder / file.path, file.folder)
        else:
            missing.append(file.path)
    if missing:
        store.client.set_tag(run_id, WITHOUT, ", ".join(missing))


def _checked_model(record: RunRecord, folder: Path) -> Path | None:
    if record.model is None:
        return None
    path = folder / record.model.path
    if not path.is_file():
        raise TrackingError(str(path), "the model of a run is missing", "run `dvc pull`")
    if digest(path) != record.model.md5:
        raise TrackingError(
            str(path), f"not the model of the run {record.name}", "run `dvc checkout`"
        )
    return path


def _example(record: RunRecord, folder: Path, weights: Path) -> NDArray[np.uint8]:
    """(EXAMPLES, S, S, 3) uint8: the dataset's first pictures where it is there, else noise."""
    import numpy as np

    from src.data.faceset import FaceSet
    from src.models.network import load_state

    if record.dataset and (faces := folder / record.dataset.path).is_file():
        return FaceSet.load(faces).images[:EXAMPLES].permute(0, 2, 3, 1).numpy()
    size = load_state(weights)[1].image_size
    return np.random.default_rng(0).integers(0, 256, (EXAMPLES, size, size, 3), np.uint8)


def log_test(
    path: Path, scores: Mapping[str, float], artifacts: Sequence[tuple[Path, str]] = ()
) -> str:
    """Add test scores and (file, folder) artifacts to the run of the record in `path`.

    Of `scores`, those that every run has are logged, as `test/accuracy` and so on. The run is
    rebuilt first where it is missing; where it has these scores already nothing is written.
    Returns the run's id; raises TrackingError.
    """
    store, run_id = open_store(), ensure_run(path)
    metrics = {f"test/{key}": float(scores[key]) for key in TEST_SCORES if key in scores}
    if not metrics.items() <= store.client.get_run(run_id).data.metrics.items():
        log_points(store, run_id, [Point(step=0, time=now(), metrics=metrics)])
        for file, folder in artifacts:
            log_file(store, run_id, file, folder)
    return run_id
