"""The final metrics of a logged model, by which MLflow finds models and sorts them.

They are those of its own network, the first seed's, on the dataset that it was trained on. So they
are logged under that seed's run, whose metrics they are, and not under the run with the means.
"""

from __future__ import annotations

from collections.abc import Sequence

from src.tracking.model import model_of
from src.tracking.record import MetricPoint, RunRecord
from src.tracking.store import Store
from src.tracking.writing import log_points

TEST = "test/"  # what the names of test scores start with


def log_model_finals(store: Store, record: RunRecord, run_id: str, seeds: Sequence[str]) -> None:
    """Log what the training ended with for the model of a run, which may have children, `seeds`."""
    first = record.seeds[0] if record.seeds else record
    _log(store, record, run_id, seeds, first.points[-1])


def log_model_test(store: Store, record: RunRecord, run_id: str, seeds: Sequence[str]) -> None:
    """The same of the test scores; none if the run has none."""
    own = _of_first(run_id, seeds)
    metrics = store.client.get_run(own).data.metrics
    scores = {key: metrics[key] for key in metrics if key.startswith(TEST)}
    if scores:
        last = store.client.get_metric_history(own, next(iter(scores)))[-1]
        point = MetricPoint(step=last.step, time=last.timestamp, metrics=scores)
        _log(store, record, run_id, seeds, point)


def _of_first(run_id: str, seeds: Sequence[str]) -> str:
    """The run of the first seed, which is the run itself where it has no children."""
    return seeds[0] if seeds else run_id


def _log(
    store: Store, record: RunRecord, run_id: str, seeds: Sequence[str], point: MetricPoint
) -> None:
    """Log a point that the first seed's run has for the model, unless the model has it."""
    if (model := model_of(store, run_id)) is None:
        return
    known = {each.key: each.value for each in model.metrics or ()}
    if not point.metrics.items() <= known.items():
        log_points(store, _of_first(run_id, seeds), [point], model.model_id, record.dataset)
