"""A finished run of two seeds, and what it and its children have to have in the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from src.data.faceset import FaceSet
from src.tracking.children import children_of
from src.tracking.provenance import dataset_version
from src.tracking.record import RunRecord
from src.tracking.run import track
from src.tracking.store import open_store
from src.tracking.writing import PARENT
from tests.tracking.projects import EXPERIMENT, Project
from tests.tracking.runs import all_runs

if TYPE_CHECKING:
    from mlflow.entities import Run

ACCURACY = "val/accuracy"
EPOCHS = {0: [0.1, 0.3], 1: [0.2, 0.5, 0.8]}  # of seeds 4 and 5; the first stops early


def finish(project: Project) -> RunRecord:
    faces = FaceSet.load(project.faces)
    with track(
        experiment=EXPERIMENT,
        name="ModelA",
        params={"seed": 4, "experiment": {"epochs": 3}},
        dataset=dataset_version(project.faces, faces, "data/a.zip"),
        stage="train@ModelA",
        record=project.record,
        seeds=(4, 5),
    ) as run:
        for seed, accuracies in EPOCHS.items():
            for step, accuracy in enumerate(accuracies, start=1):
                run.log_epoch(step, {ACCURACY: accuracy}, seed)
        for seed, accuracies in EPOCHS.items():
            run.log_finals({"best_val/accuracy": accuracies[-1]}, seed)
        run.log_artifact(project.curves)
        run.log_model(project.model, faces.images[:2].permute(0, 2, 3, 1).numpy())
    return RunRecord.read(project.record)


def curve(run_id: str) -> list[tuple[int, float]]:
    points = open_store(EXPERIMENT).client.get_metric_history(run_id, ACCURACY)
    return [(point.step, pytest.approx(point.value)) for point in points]


def tree() -> tuple[Run, list[Run]]:
    """The only run without a parent, and its children by name."""
    runs = all_runs()
    (parent,) = [run for run in runs if PARENT not in run.data.tags]
    children = children_of(open_store(EXPERIMENT), parent.info.run_id)
    assert len(runs) == 1 + len(children)
    return parent, sorted(children, key=lambda run: run.info.run_name)


def assert_complete(parent: Run, children: list[Run]) -> None:
    assert [run.info.run_name for run in children] == ["ModelA-seed4", "ModelA-seed5"]
    assert {run.info.status for run in (parent, *children)} == {"FINISHED"}
    assert parent.data.params == {"seed": "4", "seeds": "2", "experiment.epochs": "3"}
    for run, seed in zip(children, "45", strict=True):
        assert run.data.params == parent.data.params | {"seed": seed, "seeds": "1"}
        assert run.inputs.dataset_inputs[0].dataset.digest == run.data.tags["data.md5"]
    assert [curve(run.info.run_id) for run in children] == [
        [(1, 0.1), (2, 0.3)],
        [(1, 0.2), (2, 0.5), (3, 0.8)],
    ]
    assert curve(parent.info.run_id) == [(1, 0.15), (2, 0.4), (3, 0.8)]
    finals = [run.data.metrics["best_val/accuracy"] for run in (parent, *children)]
    assert finals == pytest.approx([0.55, 0.3, 0.8])
    assert len(parent.outputs.model_outputs) == 1
    assert not any(run.outputs and run.outputs.model_outputs for run in children)
