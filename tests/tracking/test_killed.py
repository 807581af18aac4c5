"""Processes that are killed while they write to the store, at the moments that matter."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from src.tracking.children import children_of
from src.tracking.reconcile import ensure_run
from src.tracking.store import open_store
from tests.tracking.finished import finish_run
from tests.tracking.projects import EXPERIMENT, Project
from tests.tracking.runs import all_runs
from tests.tracking.seeded import finish
from tests.tracking.studies import TRIAL, study

pytestmark = pytest.mark.faults
ROOT = Path(__file__).parents[2]
CREATING = """
from sqlalchemy import event
from sqlalchemy.engine import Engine

from src.tracking.store import open_store

made = 0

@event.listens_for(Engine, "after_cursor_execute")
def _(connection, cursor, statement, *_):
    global made
    made += statement.lstrip().upper().startswith(("CREATE", "ALTER"))
    if made == 60:
        die()

open_store("any")
"""
ENDING = """
from src.tracking.live import LiveRun
from src.tracking.run import track

end = LiveRun.end

def end_and_die(self, *arguments):
    end(self, *arguments)
    die()

LiveRun.end = end_and_die
with track(
    experiment="face-finetune", name="ModelA", params={"seed": 4}, dataset=None,
    stage="train@ModelA", record=Path("runs/ModelA.json"), seeds=(4, 5),
) as run:
    run.log_epoch(1, {"val/accuracy": 1.0}, seed=0)
    run.log_epoch(1, {"val/accuracy": 1.0}, seed=1)
"""
RECORDED = """
from tests.tracking.finished import finish_run
from tests.tracking.projects import Project

from src.tracking.record import RunRecord

write = RunRecord.write

def write_and_die(self, path):
    write(self, path)
    die()

RunRecord.write = write_and_die
finish_run(Project(Path.cwd()))
"""
LOGGING = """
from src.tracking import trials
from tests.tracking.projects import Project
from tests.tracking.studies import TRIAL, study

trials.finish_child = lambda *_: die()
with study(Project(Path.cwd())) as run:
    run.log_trials([TRIAL])
"""


def dies(script: str) -> None:
    """Run a script that kills its process by `die()`."""
    start = "import os, signal\nfrom pathlib import Path\n"
    start += "def die(): os.kill(os.getpid(), signal.SIGKILL)\n"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", start + script]
    done = subprocess.run(command, env=environment, check=False)
    assert done.returncode == -signal.SIGKILL


def statuses() -> Counter[tuple[str, str]]:
    return Counter((run.info.run_name, run.info.status) for run in all_runs())


def test_a_database_whose_making_was_killed_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".dvc").mkdir()
    monkeypatch.chdir(tmp_path)
    dies(CREATING)
    store = open_store("any")
    assert store.client.get_experiment(store.experiment_id).name == "any"
    assert {path.name for path in Path("mlruns").iterdir()} <= {"mlflow.db", "mlflow.lock"}


def test_children_that_had_ended_when_their_run_was_killed_are_not_finished_twice(
    project: Project,
) -> None:
    dies(ENDING)
    finish(project)
    assert statuses() == {
        ("ModelA", "KILLED"): 1,
        ("ModelA-seed4", "KILLED"): 1,
        ("ModelA-seed5", "KILLED"): 1,
        ("ModelA", "FINISHED"): 1,
        ("ModelA-seed4", "FINISHED"): 1,
        ("ModelA-seed5", "FINISHED"): 1,
    }


def test_reconciling_closes_what_a_killed_process_left_open(project: Project) -> None:
    finish_run(project)
    dies(ENDING.replace("end(self, *arguments)", "pass").replace("ModelA", "Other"))
    ensure_run(project.record)
    assert "RUNNING" not in {status for _, status in statuses()}
    assert statuses()["ModelA", "FINISHED"] == 1


def test_a_run_killed_after_its_record_and_then_reconciled_is_not_finished_twice(
    project: Project,
) -> None:
    dies(RECORDED)
    ensure_run(project.record)
    assert statuses() == {("ModelA", "FINISHED"): 1}
    project.record.unlink()  # as DVC does before it runs the stage again
    finish_run(project)
    assert statuses() == {("ModelA", "KILLED"): 1, ("ModelA", "FINISHED"): 1}


def test_a_trial_whose_logging_was_killed_is_completed_once(project: Project) -> None:
    dies(LOGGING)
    finish_run(project)  # any other command closes it
    assert statuses()["trial-007", "KILLED"] == 1
    for _ in range(2):
        with study(project) as run:
            run.log_trials([TRIAL])
    store = open_store(EXPERIMENT)
    (child,) = children_of(store, run.run_id)
    assert (child.info.status, child.info.end_time) == ("FINISHED", TRIAL.ended)
    (point,) = store.client.get_metric_history(child.info.run_id, "a")
    assert (point.value, point.timestamp) == (0.5, 1500)
