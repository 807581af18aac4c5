"""Writing parameters, datasets and metrics of live and rebuilt runs to MLflow, in batches."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from src.errors import redacted
from src.tracking.record import DatasetVersion, MetricPoint
from src.tracking.store import Store

T = TypeVar("T")
PARENT = "mlflow.parentRunId"  # tag: a child run's parent, under which MLflow's pages fold it
MAX_PARAMS, MAX_METRICS = 100, 1000  # MLflow's limits for one call


def flatten(params: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested parameters as `a.b.c: text`; other values become JSON; no credentials."""
    flat: dict[str, str] = {}
    for key, value in params.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{name}.")
        else:
            flat[name] = redacted(value if isinstance(value, str) else json.dumps(value))
    return flat


def start_run(
    store: Store,
    name: str,
    started: int,
    params: Mapping[str, str],
    tags: Mapping[str, str],
    dataset: DatasetVersion | None,
    parent: str | None = None,
) -> str:
    """Create a run, under the one with the id `parent` if given; returns its id."""
    own = {**tags, PARENT: parent} if parent else dict(tags)
    run = store.client.create_run(store.experiment_id, started, own, name)
    run_id = str(run.info.run_id)
    fill_run(store, run_id, params, dataset)
    return run_id


def fill_run(
    store: Store, run_id: str, params: Mapping[str, str], dataset: DatasetVersion | None
) -> None:
    """Log what a run starts with; what it has of that stays as it is."""
    from mlflow.entities import Param

    for batch in _batches([Param(*item) for item in params.items()], MAX_PARAMS):
        store.client.log_batch(run_id, params=batch)
    if dataset:
        _log_dataset(store, run_id, dataset)


def _log_dataset(store: Store, run_id: str, dataset: DatasetVersion) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag
    from mlflow.exceptions import MlflowException

    profile = {
        "images": dataset.images,
        "subjects": dataset.subjects,
        "origin_md5": dataset.origin_md5,
    }
    source = json.dumps({"uri": dataset.origin})
    entity = Dataset(
        dataset.name, dataset.md5, "local", source, schema=None, profile=json.dumps(profile)
    )
    inputs = [DatasetInput(entity, [InputTag("mlflow.data.context", "training")])]
    try:
        store.client.log_inputs(run_id, inputs)
    except MlflowException as error:
        if error.error_code != "BAD_REQUEST":
            raise
        # MLflow looks for the dataset, then adds it: another process may have added it in between.
        store.client.log_inputs(run_id, inputs)


def log_points(
    store: Store,
    run_id: str,
    points: Iterable[MetricPoint],
    model_id: str | None = None,
    dataset: DatasetVersion | None = None,
) -> None:
    """Log metrics in as few transactions as MLflow allows.

    With `model_id` they are that model's on the `dataset`, too; what the run has of them stays.
    """
    from mlflow.entities import Metric

    about = {"model_id": model_id} if model_id else {}
    if model_id and dataset:
        about |= {"dataset_name": dataset.name, "dataset_digest": dataset.md5}
    metrics = [
        Metric(key, value, point.time, point.step, **about)
        for point in points
        for key, value in point.metrics.items()
    ]
    for batch in _batches(metrics, MAX_METRICS):
        store.client.log_batch(run_id, metrics=batch)


def log_file(store: Store, run_id: str, path: Path, folder: str = "", name: str = "") -> None:
    """Copy a file to a run's artifacts, under its own name unless it gets another."""
    if name in ("", path.name):
        store.client.log_artifact(run_id, str(path), folder or None)
        return
    with TemporaryDirectory() as temporary:  # MLflow's client takes no other name
        copy = shutil.copyfile(path, Path(temporary) / name)
        store.client.log_artifact(run_id, str(copy), folder or None)


def _batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))
