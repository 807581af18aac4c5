"""A study has one parent run, whichever command starts or resumes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock, Timeout

from src.data.faceset import FaceSet
from src.tracking import trials
from src.tracking.provenance import dataset_version
from src.tracking.store import open_store
from tests.tracking.projects import EXPERIMENT, Project
from tests.tracking.studies import study


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
