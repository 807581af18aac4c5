"""One MLflow run from start to end: FINISHED, FAILED or KILLED, and never left RUNNING."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from src.files import digest
from src.tracking.model import log_model
from src.tracking.provenance import is_orphan, provenance
from src.tracking.record import (
    ArtifactFile,
    DatasetVersion,
    MetricPoint,
    ModelFile,
    RunRecord,
    now,
    relative,
)
from src.tracking.store import Store, open_store
from src.tracking.system import SystemSampler
from src.tracking.writing import flatten, log_file, log_points, start_run

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FLUSH = 2.0  # seconds that metrics may wait to be written in one batch


@dataclass
class TrackedRun:
    """A run in progress. Metrics reach MLflow every few seconds and at the end."""

    store: Store
    run_id: str
    name: str
    record: Path
    _epochs: list[MetricPoint] = field(default_factory=list)
    _pending: list[MetricPoint] = field(default_factory=list)
    _finals: dict[str, float] = field(default_factory=dict)
    _artifacts: list[ArtifactFile] = field(default_factory=list)
    _model: ModelFile | None = None
    _flushed: float = field(default_factory=time.monotonic)

    def log_epoch(self, step: int, metrics: Mapping[str, float]) -> None:
        """Log the metrics of one epoch."""
        values = {key: float(value) for key, value in metrics.items()}
        self._epochs.append(MetricPoint(step=step, time=now(), metrics=values))
        self._pending.append(self._epochs[-1])
        if time.monotonic() - self._flushed > FLUSH:
            self._flush()

    def log_finals(self, metrics: Mapping[str, float]) -> None:
        """Log metrics of the whole run, at its end."""
        self._finals |= {key: float(value) for key, value in metrics.items()}

    def log_artifact(self, path: Path, folder: str = "") -> None:
        """Copy a file to the run's artifacts; a rebuilt run takes it from the same path."""
        log_file(self.store, self.run_id, path, folder)
        self._artifacts.append(ArtifactFile(path=relative(path, self.record), folder=folder))

    def log_model(self, weights: Path, example: NDArray[np.uint8]) -> None:
        """Log the model file `weights`; `example` is (N ≥ 2, S, S, 3) uint8 RGB images."""
        log_model(self.store, self.run_id, self.name, weights, example)
        self._model = ModelFile(path=relative(weights, self.record), md5=digest(weights))

    def _flush(self) -> None:
        log_points(self.store, self.run_id, self._pending)
        self._pending.clear()
        self._flushed = time.monotonic()


@contextmanager
def track(
    *,
    experiment: str,
    name: str,
    params: Mapping[str, Any],
    dataset: DatasetVersion | None,
    stage: str,
    record: Path,
    tags: Mapping[str, str] | None = None,
) -> Iterator[TrackedRun]:
    """Track a `with` block as the run `name` of `stage`, in MLflow's `experiment`.

    The run ends FINISHED and writes `record`; or FAILED on an exception, KILLED on
    KeyboardInterrupt. Runs that a killed process of this machine left RUNNING are ended first.
    """
    store = open_store(experiment)
    close_orphans(store)
    if dataset:
        dataset = dataset.model_copy(update={"path": relative(Path(dataset.path), record)})
    started, flat = now(), flatten(params)
    all_tags = provenance(stage, dataset) | dict(tags or {})
    run = TrackedRun(store, start_run(store, name, started, flat, all_tags, dataset), name, record)
    status = "FAILED"
    try:
        with SystemSampler() as sampler:
            yield run
        finished = RunRecord(
            run_id=run.run_id,
            experiment=experiment,
            name=name,
            started=started,
            ended=now(),
            params=flat,
            tags=all_tags,
            dataset=dataset,
            epochs=tuple(run._epochs),
            system=tuple(sampler.points),
            finals=run._finals,
            artifacts=tuple(run._artifacts),
            model=run._model,
        )
        log_points(store, run.run_id, finished.points[len(run._epochs) :])
        run._flush()
        finished.write(record)
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    except BaseException as error:
        store.client.set_tag(run.run_id, "error", f"{type(error).__name__}: {error}"[:500])
        raise
    finally:
        try:
            run._flush()
        finally:
            store.client.set_terminated(run.run_id, status)


def close_orphans(store: Store) -> None:
    """Set runs to KILLED that a killed process of this machine left RUNNING."""
    running = "attributes.status = 'RUNNING'"
    for run in store.client.search_runs([store.experiment_id], running):
        if is_orphan(run.data.tags):
            store.client.set_terminated(run.info.run_id, "KILLED")
