"""Child runs: those that MLflow's pages fold under a parent, as trials and seeds are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

from src.tracking.record import MetricPoint
from src.tracking.store import Store
from src.tracking.writing import PARENT, log_points

if TYPE_CHECKING:
    from mlflow.entities import Run

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
