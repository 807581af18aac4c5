"""Child runs: those that MLflow's pages fold under a parent, as trials and seeds are."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Literal

from src.tracking.record import MetricPoint
from src.tracking.store import Store
from src.tracking.writing import PARENT, log_points

if TYPE_CHECKING:
    from mlflow.entities import Run

STAGE = "dvc.stage"  # tag of runs that a stage makes, their children too, but of no trial
MAX_RESULTS = 50_000  # MLflow's limit for one search
Status = Literal["FINISHED", "KILLED", "FAILED"]


def finish_child(
    store: Store,
    run_id: str,
    points: Iterable[MetricPoint],
    ended: int,
    status: Status = "FINISHED",
) -> None:
    """Log all metrics of a child run, and end it."""
    log_points(store, run_id, points)
    store.client.set_terminated(run_id, status, ended)


def children_of(store: Store, parent: str) -> list[Run]:
    """The child runs of the run with the id `parent`."""
    wanted = f"tags.`{PARENT}` = '{parent}'"
    runs = store.client.search_runs([store.experiment_id], wanted, max_results=MAX_RESULTS)
    return list(runs)


def kill_children(store: Store, parent: Run) -> None:
    """Set a parent's finished children to KILLED, but for trials, which do not depend on it."""
    for child in children_of(store, parent.info.run_id):
        if STAGE in child.data.tags and child.info.status == "FINISHED":
            kill(store, child)


def kill(store: Store, run: Run) -> None:
    """Set a run to KILLED; one that had ended keeps the time."""
    store.client.set_terminated(run.info.run_id, "KILLED", run.info.end_time)


def discard(store: Store, run_id: str) -> None:
    """Delete what a lost store got of a run that has now been rebuilt, children and model too."""
    from mlflow.exceptions import MlflowException

    for partial in (*(run.info.run_id for run in children_of(store, run_id)), run_id):
        with suppress(MlflowException):  # it is not there, or deleted
            store.client.delete_run(partial)
    experiment = [store.experiment_id]
    for model in store.client.search_logged_models(experiment, f"source_run_id = '{run_id}'"):
        store.client.delete_logged_model(model.model_id)
