"""One MLflow run from start to end: FINISHED, FAILED or KILLED, and never left RUNNING."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from src.errors import redacted
from src.files import digest
from src.tracking.alive import close_orphans, living
from src.tracking.children import Status
from src.tracking.delivery import Delivery
from src.tracking.live import LiveRun
from src.tracking.measured import log_model_finals
from src.tracking.model import log_model
from src.tracking.provenance import provenance
from src.tracking.record import (
    ArtifactFile,
    DatasetVersion,
    MetricPoint,
    ModelFile,
    RunRecord,
    SeedRun,
    now,
    relative,
)
from src.tracking.seeds import SEEDS, mean_metrics, mean_points, seed_name, seed_params
from src.tracking.store import Store, as_tracking_error, open_store
from src.tracking.system import SystemSampler
from src.tracking.unsaved import close_unsaved, note_finished
from src.tracking.writing import flatten, log_file, log_points, start_run

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass
class TrackedRun:
    """A run in progress, and its child runs where an experiment has several seeds.

    Metrics of a seed, counted from 0, are those of its child, which is started when it has the
    first; the run itself gets their means at the end. With one seed there are no children.
    """

    live: LiveRun
    name: str
    record: Path
    params: Mapping[str, str]
    tags: Mapping[str, str]
    dataset: DatasetVersion | None
    seeds: Sequence[int]
    _children: dict[int, LiveRun] = field(default_factory=dict)
    _artifacts: list[ArtifactFile] = field(default_factory=list)
    _model: ModelFile | None = None

    @property
    def delivery(self) -> Delivery:
        """The way to MLflow, which all its runs share: what one loses is lost to all."""
        return self.live.delivery

    @property
    def run_id(self) -> str:
        """The id in MLflow."""
        return self.live.run_id

    def log_epoch(self, step: int, metrics: Mapping[str, float], seed: int = 0) -> None:
        """Log the metrics of one epoch."""
        self._of(seed).log_epoch(step, metrics)

    def log_finals(self, metrics: Mapping[str, float], seed: int = 0) -> None:
        """Log metrics of the whole run, at its end."""
        self._of(seed).log_finals(metrics)

    def log_artifact(self, path: Path, name: str = "") -> None:
        """Copy a file to the run's artifacts; a rebuilt run takes it from the same path.

        MLflow's page that compares runs shows files in no folder that have the same `name` in all.
        """
        if not path.is_file():
            raise FileNotFoundError(path)
        self.delivery.send(lambda store: log_file(store, self.run_id, path, name=name))
        self._artifacts.append(ArtifactFile(path=relative(path, self.record), name=name))

    def log_model(self, weights: Path, example: NDArray[np.uint8]) -> None:
        """Log the model file `weights`; `example` is (N ≥ 2, S, S, 3) uint8 RGB images."""
        self.delivery.send(lambda store: log_model(store, self.run_id, self.name, weights, example))
        self._model = ModelFile(path=relative(weights, self.record), md5=digest(weights))

    def _of(self, number: int) -> LiveRun:
        if len(self.seeds) < 2:
            return self.live
        if number not in self._children:
            seed, started = self.seeds[number], now()
            run_id = self.delivery.start(
                lambda store: start_run(
                    store,
                    seed_name(self.name, seed),
                    started,
                    seed_params(self.params, seed),
                    self.tags,
                    self.dataset,
                    self.run_id,
                )
            )
            self._children[number] = LiveRun(self.delivery, run_id, started)
        return self._children[number]

    def finish(self, experiment: str, system: Sequence[MetricPoint]) -> RunRecord:
        """Log the means over the seeds and what belongs to whole runs; returns the record."""
        children = [self._children[number] for number in sorted(self._children)]
        if children:
            for epoch in mean_points(child.epochs for child in children):
                self.live.add_epoch(epoch)
            self.live.log_finals(mean_metrics([child.finals for child in children]))
        record = RunRecord(
            run_id=self.run_id,
            experiment=experiment,
            name=self.name,
            started=self.live.started,
            ended=now(),
            params=dict(self.params),
            tags=dict(self.tags),
            dataset=self.dataset,
            epochs=tuple(self.live.epochs),
            system=tuple(system),
            finals=self.live.finals,
            artifacts=tuple(self._artifacts),
            model=self._model,
            seeds=tuple(
                SeedRun(
                    run_id=child.run_id,
                    seed=self.seeds[number],
                    started=child.started,
                    ended=child.last,
                    epochs=tuple(child.epochs),
                    finals=child.finals,
                )
                for number, child in sorted(self._children.items())
            ),
        )
        logged: list[RunRecord | SeedRun] = [record, *record.seeds]
        for run in logged:
            self.delivery.send(partial(_log_rest, run=run))
        seeds = [seed.run_id for seed in record.seeds]
        self.delivery.send(lambda store: log_model_finals(store, record, self.run_id, seeds))
        for live in (*children, self.live):
            live.flush()
        return record.model_copy(update={"sent": self.delivery.store is not None})

    def end(self, status: Status) -> None:
        """End the run and its children, each even if another cannot be."""
        with ExitStack() as stack:
            stack.callback(self.live.end, status)
            for child in self._children.values():
                stack.callback(child.end, status, child.last)


def _log_rest(store: Store, run: RunRecord | SeedRun) -> None:
    log_points(store, run.run_id, run.points[len(run.epochs) :])


@contextmanager
def track(  # noqa: PLR0913 -- all are keywords
    *,
    experiment: str,
    name: str,
    params: Mapping[str, Any],
    dataset: DatasetVersion | None,
    stage: str,
    record: Path,
    tags: Mapping[str, str] | None = None,
    seeds: Sequence[int] = (),
    offline: bool = False,
) -> Iterator[TrackedRun]:
    """Track a `with` block as the run `name` of `stage`, in MLflow's `experiment`.

    With more than one of `seeds`, the run has a child run for each. It ends FINISHED and writes
    `record`, even if the store is lost meanwhile or left alone (`offline`); or FAILED on an
    exception, KILLED on KeyboardInterrupt; so do its children. Runs that a killed process left
    RUNNING are ended first.
    """
    delivery = Delivery(None if offline else open_store(experiment))
    if dataset:
        dataset = dataset.model_copy(update={"path": relative(Path(dataset.path), record)})
    started = now()
    flat = flatten(params) | ({SEEDS: str(len(seeds))} if seeds else {})
    with living() as lock:
        given = provenance(stage, dataset) | lock | dict(tags or {})
        all_tags = {key: redacted(value) for key, value in given.items()}

        def start(store: Store) -> str:
            with as_tracking_error(store.uri):
                close_orphans(store)
                return start_run(store, name, started, flat, all_tags, dataset)

        live = LiveRun(delivery, delivery.start(start), started)
        run = TrackedRun(live, name, record, flat, all_tags, dataset, seeds)
        status: Status = "FAILED"
        try:
            with SystemSampler(gpu=not offline) as sampler:
                yield run
            delivery.send(lambda store: close_unsaved(store, record))
            finished = run.finish(experiment, sampler.points)
            if finished.sent:
                note_finished(record, finished)
            finished.write(record)
            status = "FINISHED"
        except KeyboardInterrupt:
            status = "KILLED"
            raise
        except BaseException as error:
            text = redacted(f"{type(error).__name__}: {error}")[:500]
            delivery.send(lambda store: store.client.set_tag(run.run_id, "error", text))
            raise
        finally:
            run.end(status)
