"""A run that the store cannot read for a while is not taken for one that it does not have."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from src.errors import TrackingError
from src.tracking.reconcile import reconcile
from tests.tracking.finished import finish_run
from tests.tracking.projects import Project
from tests.tracking.runs import all_runs


@contextmanager
def unreadable() -> Iterator[None]:
    """No run can be read; to search for runs fails only where there are any, to make one does not.

    So it may be on a server that answers one call and not the next.
    """
    _rename("latest_metrics", "aside")
    yield
    _rename("aside", "latest_metrics")


def _rename(old: str, new: str) -> None:
    with closing(sqlite3.connect("mlruns/mlflow.db", timeout=60)) as connection, connection:
        connection.execute(f"ALTER TABLE {old} RENAME TO {new}")


def test_a_run_that_cannot_be_read_is_not_made_again(project: Project) -> None:
    finish_run(project)
    with unreadable(), pytest.raises(TrackingError, match="the MLflow store is lost"):
        reconcile(project.record)
    assert len(all_runs()) == 1
    assert reconcile(project.record).state == "present"


def test_a_run_without_outputs_that_cannot_be_read_is_killed_by_a_later_training(
    project: Project,
) -> None:
    lost = finish_run(project).run_id
    project.record.unlink()  # as DVC does before it runs the stage again
    with unreadable():
        assert not finish_run(project).sent
    project.record.unlink()
    again = finish_run(project).run_id
    statuses = {run.info.run_id: run.info.status for run in all_runs()}
    assert (statuses[lost], statuses[again]) == ("KILLED", "FINISHED")


@pytest.mark.parametrize("given", ["", "not an id", "0" * 32])
def test_an_id_that_no_run_can_have_is_of_a_run_that_is_missing(
    project: Project, given: str
) -> None:
    finish_run(project)
    content = json.loads(project.record.read_text())
    project.record.write_text(json.dumps(content | {"run_id": given}))
    assert [reconcile(project.record).state for _ in range(2)] == ["rebuilt", "present"]
    assert Counter(run.info.status for run in all_runs()) == {"FINISHED": 2}
