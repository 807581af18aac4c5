"""A real browser shows the report within its window."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pipelines.report import main
from src import paths
from tests import fabricate
from tests.chromium import chromium


@pytest.mark.skipif(not shutil.which("chromium"), reason="needs Chromium")
@pytest.mark.parametrize("width", [390, 1100])
def test_provenance_of_many_rows_by_two_recipes_fits_in_the_window(
    width: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, head = fabricate.EXPERIMENTS["ModelA"], fabricate.EXPERIMENTS["Baseline"]
    experiments = {"ModelA": network.model_copy(update={"recipe": "reference"})}
    experiments |= {f"ModelD-2048-1024-dropout-{number}": head for number in range(6)}
    accuracy = dict.fromkeys(experiments, 0.5)
    fabricate.write_project(tmp_path, fabricate.faces(), experiments, accuracy)
    monkeypatch.chdir(tmp_path)
    main([])
    with chromium(tmp_path / "browser") as browser:
        browser.open(paths.REPORT_PAGE.resolve().as_uri())
        browser.wait("document.readyState === 'complete' && !!document.querySelector('.facts')")
        browser.resize(width, 900)
        assert browser.run("document.documentElement.scrollWidth") <= width
        widths = "[...document.querySelectorAll('.facts dd')].map(each => each.clientWidth)"
        assert min(browser.run(widths)) > width / 2
