"""The checks of the soak notice what they are there for."""

from __future__ import annotations

from pathlib import Path

import pytest

from src import paths
from src.tracking.reconcile import FROM
from src.tracking.run import track
from src.tracking.store import open_store
from tests.faults.invariants import Invariants
from tests.faults.project import Project


@pytest.mark.parametrize(
    ("name", "content"), [(".curves.csv.x1", ""), ("A.tmp", ""), ("A.json", '{"half')]
)
def test_temporaries_and_half_written_json_are_noticed(
    tmp_path: Path, name: str, content: str
) -> None:
    everything = Invariants(Project(tmp_path))
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/B.json").write_text("{}")
    everything.check_files()
    (tmp_path / "runs" / name).write_text(content)
    with pytest.raises(AssertionError, match=r"temporary|not JSON"):
        everything.check_files()


def test_runs_that_are_doubled_left_running_lost_or_unrecorded_are_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").touch()
    record = paths.run_record("A")
    with track(
        experiment="faults", name="A", params={}, dataset=None, stage="s", record=record
    ) as run:
        run.log_finals({"accuracy": 1.0})
    store, everything = open_store("faults"), Invariants(Project(tmp_path))

    def noticed(what: str) -> None:
        with pytest.raises(AssertionError, match=what):
            everything.check_store()

    noticed("models: .* without")  # the first that is wrong with this one, which logged none
    second = store.client.create_run(store.experiment_id, tags={FROM: run.run_id}).info.run_id
    noticed("running without a process")
    store.client.set_terminated(second)
    noticed("doubled")
    store.client.delete_run(second)
    store.client.delete_run(run.run_id)
    noticed("lost")
    record.unlink()
    store.client.restore_run(run.run_id)
    noticed("models: .* without")  # it is remembered, and noted besides
    for note in (tmp_path / paths.SCRATCH / "finished").iterdir():
        note.unlink()
    everything.recorded.clear()
    noticed("there is no record")
