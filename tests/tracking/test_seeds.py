"""An experiment with several seeds is one run with the means, and a child run for each seed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from src.tracking.reconcile import FROM, log_test, reconcile
from src.tracking.record import RunRecord
from src.tracking.run import track
from src.tracking.seeds import mean_metrics
from src.tracking.store import open_store
from tests.tracking.projects import EXPERIMENT, Project, cloned
from tests.tracking.runs import all_runs
from tests.tracking.seeded import ACCURACY, assert_complete, finish, tree

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
