"""A study in MLflow: a parent run for the study, and a child run for each trial.

Trials are logged after they have finished, from Optuna's storage. A search that is stopped thus
leaves only the parent run open, and ends it. Where MLflow's store is lost, the search goes on, and
the same command later logs what is missing.
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
from src.tracking.delivery import Delivery
from src.tracking.exclusive import alone_making
from src.tracking.model import has_model, log_model
from src.tracking.provenance import process_tags, provenance
from src.tracking.record import DatasetVersion, MetricPoint, now
from src.tracking.store import Store, open_store
from src.tracking.writing import fill_run, flatten, log_file, log_points, start_run

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

    delivery: Delivery
    run_id: str
    name: str
    dataset: DatasetVersion

    def log_trials(self, trials: Iterable[TrialRun]) -> None:
        """Log each trial that is not logged yet as a finished child run."""
        self.delivery.send(lambda store: self._log_trials(store, trials))

    def _log_trials(self, store: Store, trials: Iterable[TrialRun]) -> None:
        # A search with several workers asks twice a second, and mostly there are none.
        if not (missing := self._missing(store, trials)):
            return
        with alone_making(store, self.run_id):  # several commands may run the same study
            for trial, begun in self._missing(store, [trial for trial, _ in missing]):
                self._log_trial(store, trial, begun)

    def _missing(
        self, store: Store, trials: Iterable[TrialRun]
    ) -> list[tuple[TrialRun, Run | None]]:
        """Those not logged yet, with what a process that was killed or cut off began of them."""
        runs = {int(run.data.tags[TRIAL]): run for run in children_of(store, self.run_id)}
        found = [(trial, runs.get(trial.number)) for trial in trials]
        return [
            (trial, run)
            for trial, run in found
            if run is None or (run.info.status, run.info.end_time) != (trial.status, trial.ended)
        ]

    def _log_trial(self, store: Store, trial: TrialRun, begun: Run | None) -> None:
        """Log a trial, or complete what is `begun` of it."""
        params = flatten(trial.params)
        if begun is None:
            own = {TRIAL: str(trial.number), "data.md5": self.dataset.md5, **process_tags()}
            run_id = start_run(
                store,
                f"trial-{trial.number:03d}",
                trial.started,
                params,
                own | dict(trial.tags),
                self.dataset,
                self.run_id,
            )
        else:
            run_id = begun.info.run_id
            fill_run(store, run_id, params, self.dataset)
        finish_child(store, run_id, trial.points, trial.ended, trial.status)

    def log_metrics(self, metrics: Mapping[str, float]) -> None:
        """Log metrics of the whole study, unless a call of this study before logged the same."""
        self.delivery.send(lambda store: self._log_metrics(store, metrics))

    def _log_metrics(self, store: Store, metrics: Mapping[str, float]) -> None:
        if not metrics.items() <= store.client.get_run(self.run_id).data.metrics.items():
            point = MetricPoint(step=0, time=now(), metrics=dict(metrics))
            log_points(store, self.run_id, [point])

    def log_artifact(self, path: Path) -> None:
        """Copy a file to the study's artifacts."""
        self.delivery.send(lambda store: log_file(store, self.run_id, path))

    def log_model(self, weights: Path, example: NDArray[np.uint8]) -> None:
        """Log the best model, once; `example` is (N ≥ 2, S, S, 3) uint8 RGB images."""
        self.delivery.send(lambda store: self._log_model(store, weights, example))

    def _log_model(self, store: Store, weights: Path, example: NDArray[np.uint8]) -> None:
        if not has_model(store, self.run_id, digest(weights)):
            log_model(store, self.run_id, self.name, weights, example)


@contextmanager
def track_study(
    *,
    experiment: str,
    name: str,
    identity: str,
    params: Mapping[str, Any],
    dataset: DatasetVersion,
    tags: Mapping[str, str],
    command: str,
) -> Iterator[StudyRun]:
    """Track a `with` block as the study with this `identity`, resuming its run if it has one.

    `command` is what sends later what a lost store did not get. The run ends FINISHED, FAILED on
    an exception, or KILLED on KeyboardInterrupt.
    """
    with living() as lock:
        own = {STUDY: identity, **provenance("tune", dataset), **lock, **tags}

        def start(store: Store) -> str:
            close_orphans(store)
            with alone_making(store, identity):  # several commands may start the study at once
                return _resume_run(store, identity, own) or start_run(
                    store, name, now(), flatten(params), own, dataset
                )

        delivery = Delivery(open_store(experiment), command)
        run_id, status = delivery.start(start), "FAILED"
        try:
            yield StudyRun(delivery, run_id, name, dataset)
            status = "FINISHED"
        except KeyboardInterrupt:
            status = "KILLED"
            raise
        finally:
            delivery.send(lambda store: store.client.set_terminated(run_id, status))


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
