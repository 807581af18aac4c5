"""Rebuilding runs that are missing in the store from the records that DVC restored.

A run that is there but lacks files gets them again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from src.errors import TrackingError
from src.files import digest
from src.tracking.alive import close_orphans, living
from src.tracking.champion import versions_of
from src.tracking.children import children_of, discard, finish_child
from src.tracking.exclusive import alone_making
from src.tracking.measured import log_model_finals, log_model_test
from src.tracking.model import has_files, log_model, model_of, write_files
from src.tracking.provenance import process_tags
from src.tracking.record import MetricPoint, ModelFile, RunRecord, SeedRun, now
from src.tracking.seeds import seed_name, seed_params
from src.tracking.store import Store, find_run, open_store, reachable
from src.tracking.writing import PARENT, log_file, log_points, start_run

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FROM, REBUILT_MD5, WITHOUT = "reconciled.from", "reconciled.model_md5", "reconciled.without"
TEST_SCORES = (
    *("accuracy", "accuracy_low", "accuracy_high", "top5"),
    *("temperature", "ece", "ece_uncalibrated", "nll", "nll_uncalibrated"),
    *("unknown_auroc", "unknown_far", "unknown_frr"),
)
EXAMPLES = 2  # images in a rebuilt model's input example


@dataclass(frozen=True)
class Reconciliation:
    """The run of a record: found complete, found and its files restored, or rebuilt."""

    run_id: str
    state: Literal["present", "restored", "rebuilt"]
    seeds: tuple[str, ...] = ()  # ids of the child runs


def ensure_run(path: Path) -> str:
    """The id of the run of the record in `path`, rebuilt or completed first where needed.

    Raises TrackingError if the record is invalid, or if the model file is needed and is missing or
    has changed.
    """
    return reconcile(path).run_id


@reachable()
def reconcile(path: Path) -> Reconciliation:
    """The same as `ensure_run`, returning also what was done."""
    record = RunRecord.read(path)
    store = open_store(record.experiment)
    runs: list[RunRecord | SeedRun] = [record, *record.seeds]
    deleted = record.sent and _has_deleted(store, runs)
    with alone_making(store, record.run_id):
        close_orphans(store)
        found = _find(store, record, record.sent)
        if found is None:
            run_id = _rebuild(store, record, path.parent)
            seeds = _seed_runs(store, run_id, record)
            if not record.sent:
                discard(store, record.run_id)
            _restore_versions(store, record, path.parent)
            log_model_finals(store, record, run_id, seeds)
            return Reconciliation(run_id, "rebuilt", seeds)
        restored = _restore(store, found, record, path.parent)
        restored |= _restore_versions(store, record, path.parent)
        before = {run.info.run_id for run in children_of(store, found)}
        seeds = _seed_runs(store, found, record)
        log_model_finals(store, record, found, seeds)
        complete = not (restored or deleted) and before.issuperset(seeds)
        return Reconciliation(found, "present" if complete else "restored", seeds)


def _seed_runs(store: Store, parent: str, record: RunRecord) -> tuple[str, ...]:
    """The ids of a record's child runs under the run `parent`, made where they are missing."""
    run_ids = []
    for seed in record.seeds:
        run_id = _find(store, seed, record.sent)
        if run_id is None:
            with living() as lock:
                run_id = start_run(
                    store,
                    seed_name(record.name, seed.seed),
                    seed.started,
                    seed_params(record.params, seed.seed),
                    {**record.tags, **process_tags(), **lock, FROM: seed.run_id},
                    record.dataset,
                    parent,
                )
                finish_child(store, run_id, seed.points, seed.ended)
        store.client.set_tag(run_id, PARENT, parent)  # which may have been rebuilt without it
        run_ids.append(run_id)
    return tuple(run_ids)


def _find(store: Store, record: RunRecord | SeedRun, sent: bool) -> str | None:
    """The id of a record's run if it was `sent`, or of the run rebuilt from it; None if neither.

    A run that was deleted in MLflow's pages is restored; one whose process was killed after it had
    written the record is set to FINISHED.
    """
    from mlflow.entities import ViewType

    run = find_run(store, record.run_id) if sent else None
    if run is None:
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


def _has_deleted(store: Store, runs: Sequence[RunRecord | SeedRun]) -> bool:
    """Whether one of the runs was deleted in MLflow's pages, and can be restored."""
    from mlflow.entities import ViewType

    wanted = "attributes.run_id IN ({})".format(", ".join(f"'{run.run_id}'" for run in runs))
    return bool(store.client.search_runs([store.experiment_id], wanted, ViewType.DELETED_ONLY))


def _restore(store: Store, run_id: str, record: RunRecord, folder: Path) -> bool:
    """Log missing files of a run and its model again; returns whether there were any."""
    logged = _artifacts(store, run_id, {file.folder for file in record.artifacts})
    missing = [file for file in record.artifacts if file.artifact not in logged]
    restored = [file for file in missing if (folder / file.path).is_file()]
    for file in restored:
        log_file(store, run_id, folder / file.path, file.folder, file.name)
    return _restore_model(store, run_id, record, folder) or bool(restored)


def _restore_model(store: Store, run_id: str, record: RunRecord, folder: Path) -> bool:
    if record.model is None:
        return False
    model = model_of(store, run_id)
    if model and has_files(store, model.artifact_location, record.model.md5):
        return False
    weights = _checked_model(record.model, record.name, folder)
    example = _example(record, folder, weights)
    if model:
        write_files(store, model.artifact_location, run_id, model.model_id, weights, example)
    else:
        log_model(store, run_id, record.name, weights, example)
    return True


def _restore_versions(store: Store, record: RunRecord, folder: Path) -> bool:
    """Write the files of registered versions that are the record's network and have lost theirs.

    A version may be of an earlier run that gave the same network, which no other record brings
    back. Returns whether there were any.
    """
    if record.model is None:
        return False
    md5 = record.model.md5
    lost = [
        version for version in versions_of(store, md5) if not has_files(store, version.source, md5)
    ]
    for version in lost:
        weights = _checked_model(record.model, record.name, folder)
        example = _example(record, folder, weights)
        write_files(store, version.source, version.run_id, version.model_id, weights, example)
    return bool(lost)


def _artifacts(store: Store, run_id: str, folders: Iterable[str]) -> set[str]:
    """Paths of a run's artifacts in the given folders."""
    listed = (store.client.list_artifacts(run_id, folder or None) for folder in folders)
    return {file.path for files in listed for file in files}


def _rebuild(store: Store, record: RunRecord, folder: Path) -> str:
    """A new run with everything from the record but the id."""
    weights = _checked_model(record.model, record.name, folder) if record.model else None
    with living() as lock:
        tags = {**record.tags, **process_tags(), **lock, FROM: record.run_id}
        if record.model:
            tags[REBUILT_MD5] = record.model.md5
        run_id = start_run(store, record.name, record.started, record.params, tags, record.dataset)
        try:
            log_points(store, run_id, record.points)
            _log_files(store, run_id, record, folder)
            if weights:
                log_model(store, run_id, record.name, weights, _example(record, folder, weights))
        except BaseException:
            store.client.set_terminated(run_id, "FAILED")
            discard(store, run_id)  # its model too, if its files do not fit
            raise
        store.client.set_terminated(run_id, "FINISHED", record.ended)
        return run_id


def _log_files(store: Store, run_id: str, record: RunRecord, folder: Path) -> None:
    missing = []
    for file in record.artifacts:
        if (folder / file.path).is_file():
            log_file(store, run_id, folder / file.path, file.folder, file.name)
        else:
            missing.append(file.path)
    if missing:
        store.client.set_tag(run_id, WITHOUT, ", ".join(missing))


def _checked_model(model: ModelFile, name: str, folder: Path) -> Path:
    path = folder / model.path
    if not path.is_file():
        raise TrackingError(str(path), "the model of a run is missing", "run `dvc pull`")
    if digest(path) != model.md5:
        raise TrackingError(str(path), f"not the model of the run {name}", "run `dvc checkout`")
    return path


def _example(record: RunRecord, folder: Path, weights: Path) -> NDArray[np.uint8]:
    """(EXAMPLES, S, S, 3) uint8: the first images of the dataset, or noise if it is missing."""
    import numpy as np

    from src.data.faceset import FaceSet
    from src.models.network import load_state

    if record.dataset and (faces := folder / record.dataset.path).is_file():
        return FaceSet.load(faces).images[:EXAMPLES].permute(0, 2, 3, 1).numpy()
    size = load_state(weights)[1].image_size
    return np.random.default_rng(0).integers(0, 256, (EXAMPLES, size, size, 3), np.uint8)


@reachable()
def log_test(
    path: Path,
    scores: Mapping[str, float],
    files: Sequence[Path] = (),
    seeds: Sequence[Mapping[str, float]] = (),
) -> str:
    """Add test scores and `files` to the run of the record in `path`.

    `seeds` holds the scores of each seed, for the child runs if there are any. Scores that every
    run has are logged, as `test/accuracy` and so on. The run is rebuilt or completed first where
    needed. What it already has is not written again; its scores are written last, so that a run
    with scores has the files too. Returns the run's id; raises TrackingError.
    """
    done, record = reconcile(path), RunRecord.read(path)
    run_id, store = done.run_id, open_store(record.experiment)
    for child, own in zip(done.seeds, seeds, strict=False):
        if missing := _missing_scores(store, child, own):
            log_points(store, child, [missing])
    missing = _missing_scores(store, run_id, scores)
    scored = missing is None
    logged = _artifacts(store, run_id, [""])
    for file in files:
        if not scored or file.name not in logged:
            log_file(store, run_id, file)
    if missing:
        log_points(store, run_id, [missing])
    log_model_test(store, record, run_id, done.seeds)
    return run_id


def _missing_scores(store: Store, run_id: str, scores: Mapping[str, float]) -> MetricPoint | None:
    """Test scores as metrics; None if the run has them already."""
    metrics = {f"test/{key}": float(scores[key]) for key in TEST_SCORES if key in scores}
    if metrics.items() <= store.client.get_run(run_id).data.metrics.items():
        return None
    return MetricPoint(step=0, time=now(), metrics=metrics)
