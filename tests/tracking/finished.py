"""Making finished runs for tests, as the train stage makes them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from src.data.faceset import FaceSet
from src.tracking.provenance import dataset_version
from src.tracking.record import RunRecord
from src.tracking.registry import Promotion, promote
from src.tracking.run import track
from src.tracking.store import open_backend
from tests.tracking.projects import EXPERIMENT, MODEL, Project

PARAMS = {
    "data": {"image_size": 32, "classes": {}},
    "seed": 0,
    "experiment": {"train": ["head"], "head": {"hidden": []}},
    "note": "text",
}
A, B = "data/a.tar.gz", "data/b.tar.gz"  # origins
EPOCH_KEYS = ("train/loss", "train/accuracy", "val/loss", "val/accuracy", "lr")


def finish_run(
    project: Project,
    record: Path | None = None,
    origin: str = "data/synthetic.yaml",
    experiment: str = EXPERIMENT,
    params: Mapping[str, Any] = PARAMS,
    offline: bool = False,
) -> RunRecord:
    """Track three epochs, curves and the model; returns the record."""
    faces, path = FaceSet.load(project.faces), record or project.record
    with track(
        experiment=experiment,
        name=path.stem,
        params=params,
        dataset=dataset_version(project.faces, faces, origin),
        stage=f"train@{path.stem}",
        record=path,
        tags={"device": "cpu"},
        offline=offline,
    ) as run:
        for step in (1, 2, 3):
            run.log_epoch(step, dict.fromkeys(EPOCH_KEYS, step / 10))
        run.log_finals({"best_epoch": 3, "best_val/accuracy": 0.7, "trainable_parameters": 1539})
        run.log_artifact(project.curves, name="curves.csv")
        run.log_model(project.model, faces.images[:2].permute(0, 2, 3, 1).numpy())
    return RunRecord.read(path)


def promoted(
    project: Project, name: str, accuracy: float, origin: str = A, model: str = MODEL
) -> Promotion:
    """Finish a run of this name, and promote its model."""
    record = project.record.with_name(f"{name}.json")
    finish_run(project, record, origin)
    return promote(record, accuracy, model)


def tags(version: int) -> dict[str, str]:
    """Those of a registered version."""
    return dict(open_backend().client.get_model_version(MODEL, str(version)).tags)


def aliases() -> dict[str, int]:
    found = open_backend().client.get_registered_model(MODEL).aliases
    return {alias: int(version) for alias, version in found.items()}
