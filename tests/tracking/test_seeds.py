"""An experiment with several seeds is one run with the means, and a child run for each seed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from src.data.faceset import FaceSet
from src.tracking.children import children_of
from src.tracking.provenance import dataset_version
from src.tracking.reconcile import FROM, log_test, reconcile
from src.tracking.record import RunRecord
from src.tracking.run import track
from src.tracking.seeds import mean_metrics
from src.tracking.store import open_store
from src.tracking.writing import PARENT
from tests.tracking.projects import EXPERIMENT, Project
from tests.tracking.test_reconcile import all_runs, cloned

if TYPE_CHECKING:
    from mlflow.entities import Run

ACCURACY = "val/accuracy"
EPOCHS = {0: [0.1, 0.3], 1: [0.2, 0.5, 0.8]}  # of seeds 4 and 5; the first stops early
WAITING = """
import sys, time
from pathlib import Path
from src.tracking.run import track

with track(
    experiment="face-finetune", name="Waiting", params={"seed": 0}, dataset=None, stage="s",
    record=Path("runs/W.json"), seeds=(0, 1),
) as run:
    run.log_epoch(1, {"train/loss": 1.0}, seed=0)
    run.log_epoch(1, {"train/loss": 1.0}, seed=1)
    print("open", flush=True)
    time.sleep(60)
"""


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


def test_the_run_has_means_over_its_seeds_which_are_its_children(project: Project) -> None:
    record = finish(project)
    parent, children = tree()
    assert_complete(parent, children)
    assert parent.info.run_id == record.run_id
    assert [run.info.run_id for run in children] == [seed.run_id for seed in record.seeds]
    assert record.first_finals == {"best_val/accuracy": 0.3}


def test_means_have_six_digits_and_counts_that_all_share_every_digit() -> None:
    runs = [{"val/accuracy": 2 / 3, "total_parameters": 11183694, "lr": 2e-7}] * 2
    runs.append({"val/accuracy": 0.5, "total_parameters": 11183694, "lr": 1e-7})
    means = {"val/accuracy": 0.611111, "total_parameters": 11183694, "lr": 1.66667e-7}
    assert mean_metrics(runs) == means


def test_one_seed_is_one_run(project: Project) -> None:
    with track(
        experiment=EXPERIMENT, name="One", params={"seed": 4}, dataset=None, stage="s",
        record=project.record, seeds=(4,),
    ) as run:  # fmt: skip
        run.log_epoch(1, {ACCURACY: 0.5}, 0)
        run.log_finals({"best_val/accuracy": 0.5}, 0)
    parent, children = tree()
    assert not children
    assert parent.data.params == {"seed": "4", "seeds": "1"}
    assert {ACCURACY: 0.5, "best_val/accuracy": 0.5}.items() <= parent.data.metrics.items()
    assert RunRecord.read(project.record).seeds == ()


def test_a_rebuilt_run_has_its_children_with_all_that_they_had(
    project: Project, blueprint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = finish(project)
    monkeypatch.chdir(cloned(project, blueprint))
    done = reconcile(project.record)
    parent, children = tree()
    assert_complete(parent, children)
    assert (done.state, done.run_id) == ("rebuilt", parent.info.run_id)
    for run, seed in zip(children, record.seeds, strict=True):
        assert run.data.tags[FROM] == seed.run_id
        assert (run.info.start_time, run.info.end_time) == (seed.started, seed.ended)
    again = reconcile(project.record)
    assert (again.state, again.run_id, again.seeds) == ("present", done.run_id, done.seeds)
    assert len(all_runs()) == 3


def test_a_child_that_was_deleted_comes_back(project: Project) -> None:
    record = finish(project)
    open_store(EXPERIMENT).client.delete_run(record.seeds[1].run_id)
    assert reconcile(project.record).state == "restored"
    assert_complete(*tree())


def test_test_scores_reach_the_run_and_each_child_once(project: Project) -> None:
    finish(project)
    for _ in range(2):
        log_test(project.record, {"accuracy": 0.5}, seeds=[{"accuracy": 0.4}, {"accuracy": 0.6}])
    parent, children = tree()
    scores = [run.data.metrics["test/accuracy"] for run in (parent, *children)]
    assert scores == [0.5, 0.4, 0.6]
    history = open_store(EXPERIMENT).client.get_metric_history
    assert len(history(children[0].info.run_id, "test/accuracy")) == 1


@pytest.mark.faults
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_process_leaves_neither_run_nor_children_open(
    project: Project, number: signal.Signals
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WAITING],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout.readline() == "open\n"
        os.kill(process.pid, number)
        process.wait(timeout=60)
    if number == signal.SIGKILL:  # closed by the next run
        finish(project)
    stopped = [run for run in all_runs() if run.info.run_name.startswith("Waiting")]
    assert sorted(run.info.run_name for run in stopped) == [
        "Waiting",
        "Waiting-seed0",
        "Waiting-seed1",
    ]
    assert {run.info.status for run in stopped} == {"KILLED"}
