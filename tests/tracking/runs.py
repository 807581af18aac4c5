"""The runs that a project's store has, and a program that waits with one of them open."""

from __future__ import annotations

from typing import TYPE_CHECKING

from src.tracking.store import open_store
from tests.tracking.projects import EXPERIMENT

if TYPE_CHECKING:
    from mlflow.entities import Run

WAITING = """
import sys, time
from pathlib import Path
from src import cli
from src.tracking.run import track

def main(argv):
    with track(
        experiment="face-finetune",
        name="Waiting",
        params={},
        dataset=None,
        stage="s",
        record=Path("runs/W.json"),
    ) as r:
        r.log_epoch(1, {"train/loss": 1.0})
        print("open", flush=True)
        time.sleep(60)

cli.run(main)
"""


def all_runs() -> list[Run]:
    store = open_store(EXPERIMENT)
    return store.client.search_runs([store.experiment_id])


def only_run(name: str) -> Run:
    store = open_store(EXPERIMENT)
    runs = store.client.search_runs([store.experiment_id], f"attributes.run_name = '{name}'")
    assert len(runs) == 1
    return runs[0]
