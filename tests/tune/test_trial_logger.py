"""Which trials of a shared study a machine logs."""

from __future__ import annotations

import socket

import optuna
import pytest
from optuna.trial import create_trial

from src.tracking.children import children_of
from src.tracking.store import open_store
from src.tune.storage import WORKER
from src.tune.trial_logger import TrialLogger
from tests.tracking.projects import EXPERIMENT, Project
from tests.tracking.servers import Server
from tests.tracking.studies import study

HOSTS = (socket.gethostname(), "a container that is gone")


def logged(project: Project) -> list[str]:
    """The names of the runs of a study that has a trial of each host."""
    shared = optuna.create_study()
    for number, host in enumerate(HOSTS):
        shared.add_trial(create_trial(value=0.5, user_attrs={WORKER: f"{host}:{number}"}))
    with study(project) as run:
        for _ in range(2):
            TrialLogger(shared, run, shared=True).update()
    return sorted(run.info.run_name for run in children_of(open_store(EXPERIMENT), run.run_id))


def test_into_a_store_of_its_own_a_machine_logs_its_own_trials(project: Project) -> None:
    assert logged(project) == ["trial-000"]


@pytest.mark.faults
def test_into_a_store_that_machines_share_it_logs_all_as_others_may_be_gone(
    project: Project, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://{server.address}")
    assert logged(project) == ["trial-000", "trial-001"]
