"""A study has one parent run, whichever command starts or resumes it."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from filelock import FileLock, Timeout

from src.data.faceset import FaceSet
from src.tracking import trials
from src.tracking.children import children_of
from src.tracking.delivery import Delivery
from src.tracking.provenance import dataset_version
from src.tracking.store import open_store
from tests.tracking.projects import EXPERIMENT, Project
from tests.tracking.studies import TRIAL, study

if TYPE_CHECKING:
    from mlflow.entities import Run


def track(project: Project, tag: str) -> str:
    dataset = dataset_version(project.faces, FaceSet.load(project.faces), "data/a.zip")
    with trials.track_study(
        experiment=EXPERIMENT,
        name="tune",
        identity="one",
        params={},
        dataset=dataset,
        tags={"device": tag},
        command="again",
    ) as log:
        return log.run_id


def test_the_parent_is_made_under_the_lock_so_that_two_commands_make_one(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, held = trials.start_run, []

    def watched(*arguments: Any) -> str:
        try:
            FileLock(Path("mlruns/mlflow.lock").resolve()).acquire(timeout=0)
        except Timeout:
            held.append(True)
        return start(*arguments)

    monkeypatch.setattr(trials, "start_run", watched)
    track(project, "here")
    assert held == [True]


def test_who_goes_on_finds_the_parent_and_tags_it_anew(project: Project) -> None:
    assert track(project, "here") == track(project, "there")
    store = open_store(EXPERIMENT)
    (run,) = store.client.search_runs([store.experiment_id])
    assert (run.data.tags["device"], run.info.status) == ("there", "FINISHED")


def test_a_study_that_reports_again_has_one_model_and_one_figure(project: Project) -> None:
    def report(run: trials.StudyRun) -> None:
        run.log_metrics({"best": 0.5})
        run.log_model(project.model, np.zeros((2, 32, 32, 3), np.uint8))

    for _ in range(2):
        with study(project) as run:
            report(run)
    client = open_store(EXPERIMENT).client
    assert len(client.get_run(run.run_id).outputs.model_outputs) == 1
    assert len(client.get_metric_history(run.run_id, "best")) == 1


def test_two_searches_that_find_the_same_trial_at_once_log_it_once(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: set[int] = set()

    def look(*arguments: Any) -> list[Run]:  # until the other has looked as well
        found = children_of(*arguments)
        looked.add(threading.get_ident())
        while len(looked) < 2:
            time.sleep(0.01)
        return found

    monkeypatch.setattr(trials, "children_of", look)
    store = replace(open_store(EXPERIMENT), uri="that of a server")  # so that tags are the lock
    with study(project) as run:
        searches = [replace(run, delivery=Delivery(store)) for _ in range(2)]
        threads = [threading.Thread(target=each.log_trials, args=([TRIAL],)) for each in searches]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [each.delivery.store for each in searches] == [store, store]
    (child,) = children_of(store, run.run_id)
    assert (child.info.run_name, child.info.status) == ("trial-007", "FINISHED")


def test_to_find_nothing_new_takes_no_lock(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    with study(project) as run:
        run.log_trials([TRIAL])
        with monkeypatch.context() as patch:
            patch.delattr(trials, "alone_making")
            run.log_trials([TRIAL])
