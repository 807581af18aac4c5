"""A run that is deleted in MLflow's pages while it trains costs nothing, and comes back once."""

from __future__ import annotations

import pytest

from src.data.faceset import FaceSet
from src.tracking import live, store
from src.tracking.reconcile import reconcile
from src.tracking.record import RunRecord
from src.tracking.run import TrackedRun, track
from tests.tracking.projects import EXPERIMENT, Project
from tests.tracking.runs import all_runs


def delete_run(run: TrackedRun) -> None:
    store.open_store(EXPERIMENT).client.delete_run(run.run_id)


def delete_experiment(_: TrackedRun) -> None:
    opened = store.open_store(EXPERIMENT)
    opened.client.delete_experiment(opened.experiment_id)


@pytest.mark.parametrize("delete", [delete_run, delete_experiment])
def test_a_run_that_is_deleted_while_it_trains_goes_on_and_comes_back_once(
    project: Project, delete, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(live, "FLUSH", 0.0)
    images = FaceSet.load(project.faces).images[:2].permute(0, 2, 3, 1).numpy()
    with track(
        experiment=EXPERIMENT,
        name="ModelA",
        params={},
        dataset=None,
        stage="s",
        record=project.record,
        seeds=(0, 1),
    ) as run:
        for seed in (0, 1):
            run.log_epoch(1, {"train/loss": 1.0}, seed)
            if seed == 0:
                delete(run)
            run.log_epoch(2, {"train/loss": 0.5}, seed)
        run.log_artifact(project.curves)
        run.log_model(project.model, images)
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "must be in the 'active' state" in said
    assert RunRecord.read(project.record).sent is False
    store._open_store.cache_clear()  # as another process has it
    assert [reconcile(project.record).state for _ in range(2)] == ["rebuilt", "present"]
    assert {each.info.run_name for each in all_runs()} == {"ModelA", "ModelA-seed0", "ModelA-seed1"}
    assert {each.info.status for each in all_runs()} == {"FINISHED"}
    assert len(all_runs()) == 3
