"""Of promotions at once the best wins, on a SQLite store and on a server, and none is lost.

Of two that rebuild the same run, one does.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from src.closure import ROOT
from src.tracking import exclusive
from src.tracking.champion import find_champion
from src.tracking.exclusive import MAKING, alone, alone_making
from src.tracking.registry import promote
from src.tracking.store import open_store
from tests.tracking.finished import finish_run
from tests.tracking.networks import answering, validate_on
from tests.tracking.projects import EXPERIMENT, MODEL, Project
from tests.tracking.seeded import assert_complete, finish, tree
from tests.tracking.servers import Server, new_server

PROMOTE = """
import os, sys, time
from pathlib import Path
from src.tracking import gate
from src.tracking.registry import promote

name = sys.argv[1]
measure = gate.measure

def slowly(*args):  # so that both have seen the first champion before either changes it
    found = measure(*args)
    Path(f"{name}.ready").touch()
    while len(list(Path().glob("*.ready"))) < 2:
        time.sleep(0.05)
    return found

gate.measure = slowly
print(promote(Path(f"runs/{name}.json"), 0.5, sys.argv[2]).sentence)
"""
COUNT = """
import sys, time
from pathlib import Path
from src.tracking.exclusive import alone
from src.tracking.store import open_store

store = open_store("face-finetune")
for _ in range(5):
    with alone(store, sys.argv[1]):
        count = int(Path("count").read_text())
        time.sleep(0.05)
        Path("count").write_text(str(count + 1))
"""
STUDY = """
import os, time
from pathlib import Path
from src.data.faceset import FaceSet
from src.tracking import exclusive, trials
from src.tracking.provenance import dataset_version

look, wait = trials._resume_run, exclusive._wait

def waiting():  # to be let in
    Path(f"{os.getpid()}.ready").touch()
    wait()

def looking(*args):  # until the other has looked as well, or waits to be let in
    found = look(*args)
    Path(f"{os.getpid()}.ready").touch()
    while len(list(Path().glob("*.ready"))) < 2:
        time.sleep(0.01)
    return found

trials._resume_run, exclusive._wait = looking, waiting
faces = Path("data/faces.safetensors")
dataset = dataset_version(faces, FaceSet.load(faces), "data/a.zip")
given = {"name": "tune", "identity": "one", "params": {}, "tags": {}, "command": "again"}
with trials.track_study(experiment="face-finetune", dataset=dataset, **given) as run:
    print(run.run_id)
"""
RECONCILE = """
import os, sys, time
from pathlib import Path
import src.models.network  # so that neither is busy importing when the other begins
from src.tracking.reconcile import reconcile
from src.tracking.store import open_store

os.chdir(sys.argv[1])
open_store("face-finetune")
Path(f"../{os.getpid()}.ready").touch()
while len(list(Path("..").glob("*.ready"))) < 2:
    time.sleep(0.01)
print(reconcile(Path("runs/ModelA.json")).state)
"""


@pytest.fixture(params=["sqlite", "server"])
def store(
    request: pytest.FixtureRequest,
    project: Project,
    blueprint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Server | None]:
    """The project's own database, or a server that the environment names."""
    if request.param == "sqlite":
        yield None
        return
    server = new_server(tmp_path / "server", blueprint / "mlruns" / "mlflow.db")
    server.start()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://{server.address}")
    yield server
    server.kill()


def at_once(program: str, *arguments: tuple[str, ...]) -> list[str]:
    """Run processes at once; what each printed."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", program, *given],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for given in arguments
    ]
    said = [process.communicate(timeout=300)[0] for process in started]
    assert [process.returncode for process in started] == [0] * len(started), said
    return said


@pytest.mark.faults
def test_the_better_of_two_that_beat_the_same_champion_at_once_ends_as_champion(
    project: Project, store: Server | None
) -> None:
    validate_on(project, 8, 12, 20)  # images that A, B and C are right on
    assert answering(project, "A", 0).promoted
    for name, subject in (("B", 1), ("C", 2)):  # their runs and networks, not yet registered
        answering(project, name, subject, f"aside-{name}")
    said = at_once(PROMOTE, ("B", MODEL), ("C", MODEL))
    backend = open_store(EXPERIMENT)
    champion = find_champion(backend, MODEL)
    assert champion is not None and champion.tags["experiment"] == "C", said
    assert "is now the champion" in said[1]
    tags = backend.client.get_registered_model(MODEL).tags
    assert not [key for key in tags if key.startswith(exclusive.PREFIX)]


@pytest.mark.faults
def test_processes_in_the_block_do_not_overlap(project: Project, store: Server | None) -> None:
    open_store(EXPERIMENT).client.create_registered_model(MODEL)
    Path("count").write_text("0")
    at_once(COUNT, *[(MODEL,)] * 3)
    assert Path("count").read_text() == "15"


@pytest.mark.faults
@pytest.mark.parametrize("store", ["server"], indirect=True)
def test_what_a_killed_process_leaves_is_cleared_by_the_next(
    project: Project,
    store: Server | None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    backend = open_store(EXPERIMENT)
    backend.client.create_registered_model(MODEL)
    program = COUNT.replace("count = ", "Path('in').touch(); time.sleep(600); count = ")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    killed = subprocess.Popen([sys.executable, "-c", program, MODEL], env=environment)
    while not Path("in").exists():
        time.sleep(0.05)
    killed.kill()
    killed.wait()
    monkeypatch.setattr(exclusive, "DEAD", 3.0)
    with alone(backend, MODEL):
        assert len(backend.client.get_registered_model(MODEL).tags) == 1
    assert backend.client.get_registered_model(MODEL).tags == {}
    assert "waiting for another promotion to end" in capsys.readouterr().err
    finish_run(project)
    assert promote(project.record, 0.5, MODEL).promoted


@pytest.mark.faults
@pytest.mark.parametrize("store", ["server"], indirect=True)
def test_one_that_takes_long_inside_is_not_taken_for_dead(
    project: Project, store: Server | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = open_store(EXPERIMENT)
    backend.client.create_registered_model(MODEL)
    monkeypatch.setattr(exclusive, "DEAD", 2.0)
    monkeypatch.setattr(exclusive, "ALIVE", 0.3)
    order = []

    def inside(name: str, seconds: float) -> None:
        with alone(backend, MODEL):
            order.append(f"{name} in")
            time.sleep(seconds)
            order.append(f"{name} out")

    slow = threading.Thread(target=inside, args=("slow", 5.0))
    slow.start()
    while not order:
        time.sleep(0.05)
    inside("next", 0.0)
    slow.join()
    assert order == ["slow in", "slow out", "next in", "next out"]


def test_one_whose_tag_another_process_removed_leaves_as_ever(project: Project) -> None:
    store = replace(open_store(EXPERIMENT), uri="that of a server")  # so that tags are the lock
    client, experiment = store.client, store.experiment_id
    client.create_registered_model(MODEL)
    with alone(store, MODEL):
        (mine,) = client.get_registered_model(MODEL).tags
        client.delete_registered_model_tag(MODEL, mine)
    with alone_making(store, "one"):
        (mine,) = [tag for tag in client.get_experiment(experiment).tags if tag.startswith(MAKING)]
        client.delete_experiment_tag(experiment, mine)


def test_any_other_failure_to_remove_a_tag_is_told(project: Project) -> None:
    store = replace(open_store(EXPERIMENT), uri="that of a server")
    with pytest.raises(MlflowException, match="active"), alone_making(store, "one"):
        store.client.delete_experiment(store.experiment_id)


@pytest.mark.faults
def test_two_clones_that_reconcile_at_once_make_a_lost_run_once(
    project: Project, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish(project)  # in a store of its own, so that the server does not have it
    clone = project.root.with_name("clone")
    shutil.copytree(project.root, clone)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://{server.address}")
    said = at_once(RECONCILE, *[(str(folder),) for folder in (project.root, clone)])
    assert sorted(text.split()[-1] for text in said) == ["present", "rebuilt"]
    assert_complete(*tree())
    tags = open_store(EXPERIMENT).client.get_experiment_by_name(EXPERIMENT).tags
    assert not [key for key in tags if key.startswith(MAKING)]


@pytest.mark.faults
def test_two_machines_that_look_for_a_studys_run_at_once_make_one(
    project: Project, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://{server.address}")
    ids = {said.split()[-1] for said in at_once(STUDY, (), ())}
    assert len(ids) == 1
    client = MlflowClient(f"http://{server.address}")
    experiment = client.get_experiment_by_name(EXPERIMENT)
    runs = client.search_runs([experiment.experiment_id])
    assert {run.info.run_id for run in runs} == ids
