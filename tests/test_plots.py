"""What `dvc plots show` draws can be looked at without a network."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from src.closure import ROOT

PLOTS = "plots:\n  - curve.csv: {x: step, y: loss}\n"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a folder with one plot, as the command writes it."""
    folder = tmp_path_factory.mktemp("plots")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def run(*command: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    run("dvc", "init", "--quiet", "--no-scm")
    (folder / "dvc.yaml").write_text(PLOTS, encoding="utf-8")
    (folder / "curve.csv").write_text("step,loss\n0,3\n1,2\n2,1.5\n", encoding="utf-8")
    address = run("src.plots").splitlines()[-1]
    assert address == (folder / "dvc_plots/index.html").as_uri()
    return folder / "dvc_plots/index.html"


def test_the_page_asks_no_server_for_anything(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert "curve_csv" in text and "vegaEmbed" in text
    links: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            links.extend(f"{tag} {name}" for name, _ in attrs if name in ("src", "href"))

    Reader().feed(text)
    assert links == []


def test_a_browser_draws_the_plot(page: Path, tmp_path: Path) -> None:
    chromium = shutil.which("chromium")
    if not chromium:
        pytest.skip("needs chromium")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    command = [chromium, *flags, f"--user-data-dir={tmp_path}", "--virtual-time-budget=20000"]
    done = subprocess.run(
        [*command, "--dump-dom", page.as_uri()], capture_output=True, text=True, check=True
    )
    assert "<canvas" in done.stdout or "<svg" in done.stdout
