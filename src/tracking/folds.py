"""A cross-validated experiment in MLflow: a run with the figures over all images, a child per fold.

Both are logged when all folds have finished, from their results: a command that is stopped leaves
no run behind, and one that resumes logs each fold once. A store that is lost meanwhile does not
keep the results from being written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from src.errors import TrackingError
from src.tracking.alive import close_orphans, living
from src.tracking.children import Status, children_of, finish_child
from src.tracking.delivery import Delivery, warn
from src.tracking.provenance import provenance
from src.tracking.record import DatasetVersion, MetricPoint
from src.tracking.store import Store, open_store
from src.tracking.writing import flatten, log_points, start_run

FOLDS, FOLD = "crossvalidation.key", "crossvalidation.fold"  # tags


@dataclass(frozen=True)
class FoldRun:
    """A finished fold; times in milliseconds since 1970."""

    started: int
    ended: int
    points: tuple[MetricPoint, ...]


@dataclass(frozen=True, kw_only=True)
class CrossValidationRun:
    """A cross-validated experiment; `key` names all that its results are a function of."""

    name: str
    key: str
    params: Mapping[str, Any]
    tags: Mapping[str, str]
    dataset: DatasetVersion
    metrics: Mapping[str, float]
    folds: Sequence[FoldRun]


def log_crossvalidations(experiment: str, runs: Iterable[CrossValidationRun], command: str) -> None:
    """Write the runs and their children to MLflow's `experiment`, unless they are there already.

    If the store is or gets lost, a line names the `command` that sends them later.
    """
    try:
        delivery = Delivery(open_store(experiment), command)
    except TrackingError as error:
        warn(error.where, error.what, command)
        return
    for run in runs:
        delivery.send(partial(_log, run=run))


def _log(store: Store, run: CrossValidationRun) -> None:
    close_orphans(store)
    partial_runs = []
    for found in store.client.search_runs([store.experiment_id], f"tags.`{FOLDS}` = '{run.key}'"):
        if found.info.status == "FINISHED":
            return
        partial_runs.append(str(found.info.run_id))
    for run_id in partial_runs:  # the store was lost while they were written
        for child in children_of(store, run_id):
            store.client.delete_run(child.info.run_id)
        store.client.delete_run(run_id)
    with living() as lock:
        own = provenance("crossvalidate", run.dataset) | lock | dict(run.tags)
        params = flatten(run.params)
        ended = max(fold.ended for fold in run.folds)
        parent = start_run(
            store,
            f"{run.name}-{len(run.folds)}-folds",
            min(fold.started for fold in run.folds),
            params,
            own | {FOLDS: run.key},
            run.dataset,
        )
        status: Status = "FAILED"
        try:
            log_points(store, parent, [MetricPoint(step=0, time=ended, metrics=dict(run.metrics))])
            for number, fold in enumerate(run.folds, 1):
                child = start_run(
                    store,
                    f"{run.name}-fold{number}",
                    fold.started,
                    params,
                    own | {FOLD: str(number)},
                    run.dataset,
                    parent,
                )
                finish_child(store, child, fold.points, fold.ended)
            status = "FINISHED"
        finally:
            store.client.set_terminated(parent, status, ended)
