"""What the store has lost comes back from the records and model files, once."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from src.errors import TrackingError
from src.files import write_json
from src.tracking import __main__ as command
from src.tracking.champion import champion_of
from src.tracking.reconcile import reconcile
from src.tracking.record import RunRecord
from src.tracking.registry import promote
from src.tracking.store import open_store
from tests.tracking.finished import finish_run
from tests.tracking.networks import another_network
from tests.tracking.projects import EXPERIMENT, MODEL, Project
from tests.tracking.servers import Server

MLRUNS = Path("mlruns")


@pytest.fixture
def registered(project: Project) -> RunRecord:
    """A run whose model is the champion."""
    record = finish_run(project)
    write_json(
        Path("metrics/registered.json"), {"model": MODEL, "name": "ModelA", "val_accuracy": 0.7}
    )
    assert promote(project.record, 0.7, MODEL).promoted
    return record


def files(folder: Path = MLRUNS / "artifacts") -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


def runs() -> list[str]:
    store = open_store(EXPERIMENT)
    return [run.info.run_id for run in store.client.search_runs([store.experiment_id])]


def models() -> list[str]:
    store = open_store(EXPERIMENT)
    return [each.model_id for each in store.client.search_logged_models([store.experiment_id])]


def versions() -> list[int]:
    found = open_store(EXPERIMENT).client.search_model_versions(f"name = '{MODEL}'")
    return sorted(int(version.version) for version in found)


def assert_whole_and_mended_once(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    """Reconciling again finds all present and changes nothing; the champion is the model."""
    before = (files(), runs(), models(), versions())
    capsys.readouterr()
    assert command.main(["reconcile"]) == 0
    assert "present as run" in capsys.readouterr().out
    assert not promote(project.record, 0.7, MODEL).promoted
    assert sorted(files() ^ before[0]) == []
    assert (runs(), models(), versions()) == before[1:]
    assert champion_of(MODEL).path.read_bytes() == project.model.read_bytes()


def of_run(record: RunRecord) -> list[Path]:
    return [MLRUNS / "artifacts" / record.run_id]


def of_model(_: RunRecord) -> list[Path]:
    return [champion_of(MODEL).path.parents[1]]


def of_serving(_: RunRecord) -> list[Path]:
    return [champion_of(MODEL).path.parents[1] / "code"]


def everything(_: RunRecord) -> list[Path]:
    return [MLRUNS / "artifacts"]


@pytest.mark.parametrize(
    ("lost", "mend"),
    [
        (of_run, "reconcile"),
        (of_model, "register"),
        (of_serving, "reconcile"),
        (everything, "reconcile"),
        (everything, "register"),
    ],
)
def test_lost_files_come_back_once(
    project: Project,
    registered: RunRecord,
    lost: Callable[[RunRecord], list[Path]],
    mend: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = files()
    for folder in lost(registered):
        shutil.rmtree(folder)
    if mend == "register":
        assert promote(project.record, 0.7, MODEL).reason == "it already is the champion"
    else:
        assert command.main(["reconcile"]) == 0
        assert f"restored as run {registered.run_id}" in capsys.readouterr().out
    assert files() == before
    assert_whole_and_mended_once(project, capsys)


@pytest.mark.parametrize("mend", ["reconcile", "register"])
def test_a_champion_of_a_run_before_gets_the_same_networks_files(
    project: Project, registered: RunRecord, mend: str, capsys: pytest.CaptureFixture[str]
) -> None:
    again = finish_run(project)  # the same bits, as `dvc repro --force` makes them
    assert again.run_id != registered.run_id
    assert not promote(project.record, 0.7, MODEL).promoted
    shutil.rmtree(MLRUNS / "artifacts")
    if mend == "register":
        assert not promote(project.record, 0.7, MODEL).promoted
    else:
        assert command.main(["reconcile"]) == 0
    assert_whole_and_mended_once(project, capsys)
    assert champion_of(MODEL).name.startswith(f"models:/{MODEL}/1 ")


def test_registering_another_experiment_mends_the_champion_from_its_own_record(
    project: Project, registered: RunRecord, capsys: pytest.CaptureFixture[str]
) -> None:
    other = another_network(project, "ModelB")
    shutil.rmtree(MLRUNS / "artifacts")
    made = promote(other, 0.6, MODEL)
    assert (made.promoted, made.reason[:6]) == (False, "a tie:")
    assert_whole_and_mended_once(project, capsys)


def test_a_champion_that_nothing_can_bring_back_gives_way_and_the_reason_says_so(
    project: Project, registered: RunRecord
) -> None:
    other = another_network(project, "ModelB")
    shutil.rmtree(of_model(registered)[0])
    project.record.unlink()
    with pytest.raises(TrackingError, match=r"missing; run `python -m pipelines\.register`"):
        champion_of(MODEL)
    made = promote(other, 0.6, MODEL)
    assert made.promoted
    assert made.reason == (
        "the files of version 1 (ModelA on data/synthetic.yaml) are lost, and no record in runs/ "
        "is of its network"
    )
    assert champion_of(MODEL).name.startswith(f"models:/{MODEL}/2 ")
    assert not promote(other, 0.6, MODEL).promoted


def test_the_advice_is_a_command_that_mends_it(project: Project, registered: RunRecord) -> None:
    from ruamel.yaml import YAML

    yaml = YAML()
    params = yaml.load(Path("params.yaml"))
    params["experiments"] = {"ModelA": {"train": ["head"], "batch_size": 8, "epochs": 1}}
    yaml.dump(params, Path("params.yaml"))
    write_json(
        Path("metrics/train/ModelA.json"), {"val": {"accuracy": 0.7}, "trainable_parameters": 1}
    )
    shutil.rmtree(of_model(registered)[0])
    advice = r"run `python -m src\.tracking reconcile`$"
    with pytest.raises(TrackingError, match=rf"its files are missing; {advice}"):
        champion_of(MODEL)
    aside = project.model.rename("aside")
    with pytest.raises(TrackingError, match=r"; run `dvc pull` and `python -m src\.tracking rec"):
        champion_of(MODEL)
    aside.rename(project.model)
    assert command.main(["reconcile"]) == 0
    assert champion_of(MODEL).path.is_file()


def collect_garbage() -> None:
    """What `mlflow gc` does: remove deleted runs and models, and their files, for good."""
    uri = f"sqlite:///{MLRUNS.resolve()}/mlflow.db"
    command = [sys.executable, "-m", "mlflow", "gc", "--backend-store-uri", uri]
    subprocess.run([*command, "--tracking-uri", uri], check=True, capture_output=True)


@pytest.mark.parametrize("collected", [False, pytest.param(True, marks=pytest.mark.faults)])
@pytest.mark.parametrize("deleted", ["run", "model", "both"])
def test_what_was_deleted_in_mlflows_pages_comes_back_once(
    project: Project,
    registered: RunRecord,
    deleted: str,
    collected: bool,
    capsys: pytest.CaptureFixture[str],
) -> None:
    client = open_store(EXPERIMENT).client
    if deleted != "run":
        client.delete_logged_model(models()[0])
    if deleted != "model":
        client.delete_run(registered.run_id)
    if collected:
        collect_garbage()
    assert command.main(["reconcile"]) == 0
    rebuilt = collected and deleted != "model"
    assert f"{'rebuilt' if rebuilt else 'restored'} as run" in capsys.readouterr().out
    # A collected run leaves its model, which is the champion's.
    assert (len(runs()), len(models())) == (1, 2 if rebuilt and deleted == "run" else 1)
    assert_whole_and_mended_once(project, capsys)


@pytest.mark.faults
def test_files_that_a_server_lost_come_back_too(
    project: Project, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://{server.address}")
    finish_run(project)
    assert promote(project.record, 0.7, MODEL).promoted
    before = files(server.folder / "files")
    shutil.rmtree(server.folder / "files")
    with pytest.raises(TrackingError, match=r"missing; run `python -m src\.tracking reconcile`"):
        champion_of(MODEL)
    assert [reconcile(project.record).state for _ in range(2)] == ["restored", "present"]
    assert files(server.folder / "files") == before
    assert champion_of(MODEL).path.read_bytes() == project.model.read_bytes()
