"""A study in MLflow: a parent run for the study, and a child run for each trial.

Trials are logged after they have finished, from Optuna's storage. A search that is stopped thus
leaves only the parent run open, and ends it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from src.files import digest
from src.tracking.alive import close_orphans, living
from src.tracking.children import Status, children_of, finish_child
from src.tracking.model import has_model, log_model
from src.tracking.provenance import process_tags, provenance
from src.tracking.record import DatasetVersion, MetricPoint, now
from src.tracking.store import Store, locked, open_store
from src.tracking.writing import flatten, log_file, log_inputs, log_points, start_run

if TYPE_CHECKING:
    import numpy as np
    from mlflow.entities import Run
    from numpy.typing import NDArray

STUDY, TRIAL = "study.id", "study.trial"


@dataclass(frozen=True)
class TrialRun:
    """A finished trial. `status` is MLflow's: FINISHED, KILLED if pruned, or FAILED."""

    number: int
    params: Mapping[str, Any]
    tags: Mapping[str, str]
    status: Status
    started: int  # milliseconds since 1970
    ended: int
    points: tuple[MetricPoint, ...]


@dataclass(frozen=True)
class StudyRun:
    """The parent run of a study in progress."""

    store: Store
    run_id: str
    name: str
    dataset: DatasetVersion

    def log_trials(self, trials: Iterable[TrialRun]) -> None:
        """Log each trial that is not logged yet as a finished child run."""
        with locked(self.store.uri):  # several commands may run the same study
            children = children_of(self.store, self.run_id)
            begun = {int(run.data.tags[TRIAL]): run for run in children}
            for trial in trials:
                self._log_trial(trial, begun.get(trial.number))

    def _log_trial(self, trial: TrialRun, begun: Run | None) -> None:
        """Log a trial; complete what a killed process had `begun` of it."""
        params = flatten(trial.params)
        if begun is None:
            run_id = start_run(
                self.store,
                f"trial-{trial.number:03d}",
                trial.started,
                params,
                {
                    TRIAL: str(trial.number),
                    "data.md5": self.dataset.md5,
                    **process_tags(),
                    **trial.tags,
                },
                self.dataset,
                self.run_id,
            )
        elif (begun.info.status, begun.info.end_time) != (trial.status, trial.ended):
            run_id = begun.info.run_id
            log_inputs(self.store, run_id, params, self.dataset)
        else:
            return
        finish_child(self.store, run_id, trial.points, trial.ended, trial.status)

    def log_metrics(self, metrics: Mapping[str, float]) -> None:
        """Log metrics of the whole study, unless a call of this study before logged the same."""
        if metrics.items() <= self.store.client.get_run(self.run_id).data.metrics.items():
            return
        log_points(
            self.store, self.run_id, [MetricPoint(step=0, time=now(), metrics=dict(metrics))]
        )

    def log_artifact(self, path: Path, folder: str = "") -> None:
        """Copy a file to the study's artifacts."""
        log_file(self.store, self.run_id, path, folder)

    def log_model(self, weights: Path, example: NDArray[np.uint8]) -> None:
        """Log the best model, once; `example` is (N ≥ 2, S, S, 3) uint8 RGB images."""
        if not has_model(self.store, self.run_id, digest(weights)):
            log_model(self.store, self.run_id, self.name, weights, example)


@contextmanager
def track_study(
    *,
    experiment: str,
    name: str,
    identity: str,
    params: Mapping[str, Any],
    dataset: DatasetVersion,
    tags: Mapping[str, str],
) -> Iterator[StudyRun]:
    """Track a `with` block as the study with this `identity`, resuming its run if it has one.

    The run ends FINISHED, FAILED on an exception, or KILLED on KeyboardInterrupt.
    """
    store = open_store(experiment)
    close_orphans(store)
    with living() as lock:
        with locked(store.uri):  # several commands may start the same study at once
            own = {STUDY: identity, **provenance("tune", dataset), **lock, **tags}
            run_id = _resume_run(store, identity, own)
            if run_id is None:
                run_id = start_run(store, name, now(), flatten(params), own, dataset)
        status = "FAILED"
        try:
            yield StudyRun(store, run_id, name, dataset)
            status = "FINISHED"
        except KeyboardInterrupt:
            status = "KILLED"
            raise
        finally:
            store.client.set_terminated(run_id, status)


def _resume_run(store: Store, identity: str, tags: Mapping[str, str]) -> str | None:
    """The id of the study's run, set to RUNNING and given `tags`; None if it has no run."""
    from mlflow.entities import RunTag

    runs = store.client.search_runs([store.experiment_id], f"tags.`{STUDY}` = '{identity}'")
    if not runs:
        return None
    run_id = str(runs[0].info.run_id)
    store.client.update_run(run_id, status="RUNNING")
    store.client.log_batch(run_id, tags=[RunTag(*tag) for tag in tags.items()])
    return run_id
