"""MLflow's pages in a real browser: the format of its views is written down nowhere."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from urllib.parse import urlencode

import pytest

from src.tracking.pages import METRICS, PARAMETERS, address, dress
from src.tracking.reconcile import log_test
from src.tracking.store import Store, open_store
from tests.chromium import Browser, chromium
from tests.tracking.finished import PARAMS, finish_run
from tests.tracking.projects import EXPERIMENT, Project
from tests.tracking.servers import Server

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not shutil.which("chromium"), reason="needs Chromium"),
]
NAMES = ("ModelA", "ModelB", "ModelC")


@pytest.fixture
def store(project: Project, server: Server, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Three runs with test scores on a server, dressed."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://{server.address}")
    confusion = Path("confusion.csv")
    confusion.write_text("actual,predicted\nann,bob\n")
    for place, name in enumerate(NAMES):
        record = Path(f"runs/{name}.json")
        finish_run(project, record, params=PARAMS | {"data": {"origin": "data/a.zip"}, "seeds": 1})
        scores = {"accuracy": 0.5 + place / 10, "accuracy_low": 0.4, "accuracy_high": 0.9}
        log_test(record, scores, [confusion])
    opened = open_store(EXPERIMENT)
    dress(opened)
    return opened


def show(browser: Browser, page: str, ready: str) -> str:
    """All text of a page, once it is ready in a large window."""
    browser.open(page)
    browser.resize(2400, 3000)
    browser.wait(ready)
    return str(browser.run("document.body.innerText"))


def test_table_and_charts_are_those_of_our_view(
    store: Store, server: Server, tmp_path: Path
) -> None:
    rows = "document.querySelectorAll('.ag-center-cols-container [role=row]').length === 3"
    drawn = "document.querySelectorAll('.js-plotly-plot:has(.trace)').length >= 4"
    with chromium(tmp_path) as browser:
        text = show(browser, address(store.experiment_id, server.port), rows)
        missing = [key for key in (*METRICS, *PARAMETERS) if key not in text]
        assert missing == ["seconds_per_epoch"], "which these runs lack"
        assert text.index("ModelC") < text.index("ModelB") < text.index("ModelA")
        text = show(browser, address(store.experiment_id, server.port, charts=True), drawn)
        # After the sort key, which is test/accuracy, too.
        rest = " ".join(text.split()).partition("Comparison (4)")[2]
        for part in (
            *("test/accuracy", "trainable_parameters vs. test/accuracy", "val/accuracy"),
            *("train/loss", "val (", "train (", "test (", "Model metrics ("),
        ):
            assert part in rest
            rest = rest.partition(part)[2]


def test_files_of_several_runs_are_side_by_side(
    store: Store, server: Server, tmp_path: Path
) -> None:
    runs = [run.info.run_id for run in store.client.search_runs([store.experiment_id])]
    given = {"runs": json.dumps(runs), "experiments": json.dumps([store.experiment_id])}
    page = f"http://{server.address}/#/compare-runs?{urlencode(given)}"
    listed = "document.body.innerText.includes('Select a file to preview')"
    with chromium(tmp_path) as browser:
        text = show(browser, page, listed).partition("Artifacts\n")[2]
        assert text.splitlines()[:2] == ["confusion.csv", "curves.csv"]
