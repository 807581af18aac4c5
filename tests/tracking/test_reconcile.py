"""Runs that DVC restored and MLflow does not have come back, once, as they were."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from src.errors import TrackingError
from src.files import write_json
from src.tracking import __main__ as command
from src.tracking.champion import champion_of
from src.tracking.reconcile import FROM, REBUILT_MD5, WITHOUT, ensure_run, log_test
from src.tracking.record import RunRecord
from src.tracking.registry import promote
from src.tracking.store import open_store
from tests.tracking.finished import finish_run
from tests.tracking.projects import EXPERIMENT, MODEL, Project, cloned
from tests.tracking.runs import all_runs


@pytest.fixture
def restored(project: Project, blueprint: Path, monkeypatch: pytest.MonkeyPatch) -> RunRecord:
    """A finished run's files beside a store that has never seen it."""
    record = finish_run(project)
    monkeypatch.chdir(cloned(project, blueprint))
    assert all_runs() == []
    return record


def artifacts(run_id: str, folder: str | None = None) -> list[str]:
    files = open_store(EXPERIMENT).client.list_artifacts(run_id, folder)
    return sorted(file.path for file in files)


def test_a_present_run_is_left_alone(project: Project) -> None:
    record = finish_run(project)
    assert ensure_run(project.record) == record.run_id
    assert len(all_runs()) == 1


def test_a_missing_run_is_rebuilt_as_it_was(project: Project, restored: RunRecord) -> None:
    run_id = ensure_run(project.record)
    (run,) = all_runs()
    assert run.info.run_id == run_id != restored.run_id
    assert (run.info.run_name, run.info.status) == ("ModelA", "FINISHED")
    assert (run.info.start_time, run.info.end_time) == (restored.started, restored.ended)
    assert run.data.params == restored.params
    expected = {key for point in restored.points for key in point.metrics}
    assert set(run.data.metrics) == expected
    assert run.data.metrics["best_epoch"] == 3
    assert run.data.tags[FROM] == restored.run_id
    assert run.data.tags[REBUILT_MD5] == restored.model.md5
    assert run.data.tags["git.dirty" if "git.dirty" in restored.tags else "dvc.stage"]
    assert run.inputs.dataset_inputs[0].dataset.digest == restored.dataset.md5
    client = open_store(EXPERIMENT).client
    history = client.get_metric_history(run_id, "val/accuracy")
    assert [(p.step, p.value, p.timestamp) for p in history] == [
        (point.step, point.metrics["val/accuracy"], point.time) for point in restored.epochs
    ]
    assert artifacts(run_id) == ["curves.csv"]
    assert len(run.outputs.model_outputs) == 1


def test_a_rebuilt_run_is_not_rebuilt_again(project: Project, restored: RunRecord) -> None:
    assert ensure_run(project.record) == ensure_run(project.record)
    assert len(all_runs()) == 1


def test_a_run_deleted_in_the_pages_is_restored(project: Project) -> None:
    record = finish_run(project)
    open_store(EXPERIMENT).client.delete_run(record.run_id)
    assert ensure_run(project.record) == record.run_id
    assert all_runs()[0].info.lifecycle_stage == "active"


def test_missing_artifacts_are_named_and_a_missing_dataset_is_no_hindrance(
    project: Project, restored: RunRecord
) -> None:
    project.curves.unlink()
    project.faces.unlink()
    ensure_run(project.record)
    (run,) = all_runs()
    assert run.data.tags[WITHOUT] == "../plots/curves/ModelA.csv"
    assert len(run.outputs.model_outputs) == 1


def test_a_missing_or_changed_model_is_refused_and_nothing_is_made(
    project: Project, restored: RunRecord
) -> None:
    with project.model.open("ab") as file:
        file.write(b"x")
    with pytest.raises(TrackingError, match=r"not the model of the run ModelA; run `dvc checkout`"):
        ensure_run(project.record)
    project.model.unlink()
    with pytest.raises(TrackingError, match="the model of a run is missing"):
        ensure_run(project.record)
    assert all_runs() == []


def test_a_rebuild_that_fails_leaves_no_run(project: Project, restored: RunRecord) -> None:
    project.faces.write_bytes(b"broken")
    with pytest.raises(Exception, match="not a packed dataset"):
        ensure_run(project.record)
    assert all_runs() == []


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"run_id": 3}'])
def test_a_file_that_is_no_record_is_one_line(project: Project, content: str) -> None:
    project.record.parent.mkdir()
    project.record.write_text(content)
    with pytest.raises(TrackingError, match=r"^runs/ModelA\.json: not a record of a run"):
        ensure_run(project.record)


def test_test_metrics_reach_the_run_once(project: Project, restored: RunRecord) -> None:
    scores = {"accuracy": 0.5, "top5": 0.9, "macro_f1": 0.4}
    run_id = log_test(project.record, scores, [project.curves])
    assert log_test(project.record, scores) == run_id
    client = open_store(EXPERIMENT).client
    run = client.get_run(run_id)
    assert {"test/accuracy": 0.5, "test/top5": 0.9}.items() <= run.data.metrics.items()
    assert "test/macro_f1" not in run.data.metrics
    assert run.info.status == "FINISHED"
    assert len(client.get_metric_history(run_id, "test/accuracy")) == 1
    assert artifacts(run_id) == ["ModelA.csv", "curves.csv"]


def test_the_command_brings_back_runs_test_metrics_and_champion(
    project: Project, restored: RunRecord, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("metrics").mkdir()
    Path("metrics/test.json").write_text('{"ModelA": {"accuracy": 0.5}, "B": {"accuracy": 1}}')
    Path("plots/test/ModelA").mkdir(parents=True)
    Path("plots/test/ModelA/per_subject.csv").write_text("subject\n")
    Path("plots/test/ModelA/model.md5").write_text(f"{restored.model.md5}\n")
    champion = {"model": MODEL, "name": "ModelA", "val_accuracy": 0.7}
    write_json(Path("metrics/registered.json"), champion)
    assert command.main(["reconcile"]) == 0
    assert "rebuilt as run" in capsys.readouterr().out
    (run,) = all_runs()
    assert run.data.metrics["test/accuracy"] == 0.5
    assert artifacts(run.info.run_id) == ["curves.csv", "model.md5", "per_subject.csv"]
    assert champion_of(MODEL).path.is_file()
    assert command.main(["reconcile"]) == 0
    assert "present as run" in capsys.readouterr().out
    assert len(all_runs()) == 1


def test_figures_and_a_choice_of_an_earlier_network_are_not_taken_for_this_one(
    project: Project, restored: RunRecord
) -> None:
    Path("metrics").mkdir()
    write_json(Path("metrics/test.json"), {"ModelA": {"accuracy": 0.5}})
    Path("plots/test/ModelA").mkdir(parents=True)
    Path("plots/test/ModelA/model.md5").write_text("of the network before\n")
    champion = {"model": MODEL, "name": "ModelA", "val_accuracy": 0.9}
    write_json(Path("metrics/registered.json"), champion)
    assert command.main(["reconcile"]) == 0
    (run,) = all_runs()
    assert "test/accuracy" not in run.data.metrics
    with pytest.raises(TrackingError, match="no champion yet"):
        champion_of(MODEL)


def test_the_command_goes_on_after_a_bad_record(
    project: Project, restored: RunRecord, capsys: pytest.CaptureFixture[str]
) -> None:
    (project.record.parent / "Broken.json").write_text("{")
    record = restored.model_copy(update={"run_id": "1" * 32, "artifacts": (), "model": None})
    record.write(project.record.with_name("Other.json"))
    assert command.main(["reconcile"]) == 2
    assert capsys.readouterr().err.startswith("error: runs/Broken.json: not a record of a run;")
    assert len(all_runs()) == 2


def test_a_run_is_rebuilt_in_the_experiment_that_its_record_names(
    project: Project, blueprint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish_run(project, experiment="flowers")
    monkeypatch.chdir(cloned(project, blueprint))
    assert command.main(["reconcile", str(project.root)]) == 0
    assert all_runs() == []
    store = open_store("flowers")
    assert len(store.client.search_runs([store.experiment_id])) == 1


def test_a_record_that_names_no_experiment_is_refused(project: Project) -> None:
    finish_run(project)
    content = json.loads(project.record.read_text())
    del content["experiment"]
    project.record.write_text(json.dumps(content))
    with pytest.raises(TrackingError, match="not a record of a run; run `dvc pull` or `dvc repro`"):
        ensure_run(project.record)


def test_with_nothing_to_do_no_store_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert command.main(["reconcile"]) == 0
    assert "nothing to reconcile" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(TrackingError, match=r"^typo: no such folder"):
        command.main(["reconcile", "typo"])


def test_artifacts_that_a_kill_kept_from_a_scored_run_come_later(project: Project) -> None:
    finish_run(project)
    scores = {"accuracy": 0.5}
    run_id = log_test(project.record, scores)
    assert log_test(project.record, scores, [project.curves]) == run_id
    client = open_store(EXPERIMENT).client
    assert artifacts(run_id) == ["ModelA.csv", "curves.csv"]
    assert len(client.get_metric_history(run_id, "test/accuracy")) == 1


def test_a_run_without_its_artifacts_has_no_scores_either(project: Project) -> None:
    finish_run(project)
    with pytest.raises(Exception, match="absent"):
        log_test(project.record, {"accuracy": 0.5}, [Path("absent.csv")])
    (run,) = all_runs()
    assert "test/accuracy" not in run.data.metrics


def test_files_that_were_deleted_from_the_store_come_back_to_the_same_run_and_champion(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    record = finish_run(project)
    promote(project.record, 0.5, MODEL)
    before = stored_files(project)
    shutil.rmtree("mlruns/artifacts")
    assert command.main(["reconcile"]) == 0
    assert f"restored as run {record.run_id}" in capsys.readouterr().out
    assert stored_files(project) == before
    assert champion_of(MODEL).path.read_bytes() == project.model.read_bytes()
    assert len(all_runs()) == 1 and len(all_runs()[0].outputs.model_outputs) == 1
    assert command.main(["reconcile"]) == 0
    assert f"present as run {record.run_id}" in capsys.readouterr().out


def stored_files(project: Project) -> set[Path]:
    return {path for path in project.root.glob("mlruns/artifacts/**/*") if path.is_file()}


def test_files_of_a_record_without_names_for_them_come_back_under_their_own(
    project: Project, restored: RunRecord
) -> None:
    content = json.loads(project.record.read_text())
    for file in content["artifacts"]:
        del file["name"]
        file["folder"] = "curves"
    project.record.write_text(json.dumps(content))
    for _ in range(2):
        run_id = ensure_run(project.record)
        assert artifacts(run_id, "curves") == ["curves/ModelA.csv"]


def test_a_stored_model_that_was_changed_is_written_again(project: Project) -> None:
    finish_run(project)
    promote(project.record, 0.5, MODEL)
    with champion_of(MODEL).path.open("ab") as file:
        file.write(b"x")
    ensure_run(project.record)
    assert champion_of(MODEL).path.read_bytes() == project.model.read_bytes()


def test_a_record_with_the_old_names_of_metrics_gives_a_run_with_the_new_ones(
    project: Project, restored: RunRecord
) -> None:
    content = json.loads(project.record.read_text())
    for epoch in content["epochs"]:
        epoch["metrics"] |= {"seconds/epoch": 2.0, "images/second": 30.0}
    project.record.write_text(json.dumps(content))
    ensure_run(project.record)
    (run,) = all_runs()
    assert run.data.metrics["seconds_per_epoch"] == 2
    assert run.data.metrics["images_per_second"] == 30
    assert not {"seconds/epoch", "images/second"} & set(run.data.metrics)
