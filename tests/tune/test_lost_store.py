"""A search outlives the MLflow server, and the same command sends what it did not get, once."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from src.tracking.store import open_store
from src.tracking.writing import PARENT
from src.tune.__main__ import main
from src.tune.table import LiveTable
from tests.tracking.projects import EXPERIMENT
from tests.tracking.servers import Server

pytestmark = pytest.mark.faults


def test_a_search_goes_on_without_its_server_and_is_sent_later(
    here: Path, server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    uri = f"http://{server.address}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    refresh, refreshes = LiveTable.refresh, iter(range(6))

    def killing(table: LiveTable) -> None:
        if next(refreshes, None) is None:
            server.kill()
        refresh(table)

    with monkeypatch.context() as patch:
        patch.setattr(LiveTable, "refresh", killing)
        main(["--trials", "8"])
    err = capsys.readouterr().err
    warnings = [line for line in err.splitlines() if line.startswith("warning: ")]
    assert len(warnings) == 1 and warnings[0].startswith(f"warning: {uri}: the MLflow store is lo")
    assert warnings[0].endswith("send it later with `python -m src.tune --trials 8`")
    best = Path("tune/best.yaml").read_bytes()

    server.start()
    for _ in range(2):
        main(["--trials", "8"])
        assert Path("tune/best.yaml").read_bytes() == best
        store = open_store(EXPERIMENT)
        runs = store.client.search_runs([store.experiment_id])
        assert Counter(PARENT in run.data.tags for run in runs) == {True: 8, False: 1}
        assert {run.info.status for run in runs} <= {"FINISHED", "KILLED"}
        (parent,) = [run for run in runs if PARENT not in run.data.tags]
        assert parent.info.status == "FINISHED"
        assert "best_val/accuracy" in parent.data.metrics
        assert all("val/accuracy" in run.data.metrics for run in runs if run is not parent)
