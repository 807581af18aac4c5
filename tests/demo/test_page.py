"""A real browser shows the page."""

from __future__ import annotations

import shutil
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from src.data.corrections import Correction, read_corrections
from tests.chromium import chromium
from tests.demo.served import CORRECTIONS, FILES, HOSTILE, MAX_BYTES, ORIGIN, Served


@pytest.mark.long
@pytest.mark.skipif(not shutil.which("chromium"), reason="needs Chromium")
def test_a_browser_shows_both_tabs_and_saves_what_is_chosen(
    undecided: Served, tmp_path: Path
) -> None:
    with chromium(tmp_path) as browser:
        browser.open(undecided.address)
        browser.wait("document.querySelectorAll('#doubts > li').length === 3")
        browser.choose("#file", undecided.photos[1])
        browser.wait("document.querySelectorAll('#nearest > li').length === 3")
        assert browser.text("#name") == "unknown"
        assert HOSTILE in browser.text("#bars")  # as text
        broken = tmp_path / "broken.png"
        broken.write_bytes(b"broken")
        browser.choose("#file", broken)
        browser.wait("!document.querySelector('#face-error').hidden")
        assert browser.text("#face-error").startswith("photo: not an image in a known format")
        broken.write_bytes(bytes(MAX_BYTES + 1))
        browser.choose("#file", broken)
        browser.wait("document.querySelector('#face-error').innerText.includes('too large')")
        browser.click("#camera")
        browser.wait("document.querySelector('#video').videoWidth > 0")
        browser.click("#take")
        browser.wait("!document.querySelector('#answer').hidden")

        browser.run("document.querySelector('#tab-face').focus()")
        browser.press("ArrowRight", 39)
        browser.wait("!document.querySelector('#labels').hidden")
        assert browser.run("document.activeElement.id") == "tab-labels"
        assert browser.text("#doubts h3") == f"ann → {HOSTILE}?"
        assert browser.run("document.querySelectorAll('#doubts img').length") == 3
        browser.click("#doubts input[value=rename]")
        assert browser.text("#unsaved") == "1 unsaved decision"
        browser.click("#save")
        browser.wait("document.querySelector('#unsaved').innerText.startsWith('Saved 1')")
        made = Correction(ORIGIN, FILES[3], "ann", "rename", HOSTILE)
        assert read_corrections(undecided.root / CORRECTIONS) == (made,)
        assert browser.run("document.querySelector('#doubts input[value=rename]').checked")
        browser.screenshot(tmp_path / "narrow.png", width=390)
        assert browser.run("document.documentElement.scrollWidth") <= 390
    asked = {urlsplit(url).netloc for url in browser.requested if not url.startswith("data:")}
    assert asked == {f"127.0.0.1:{undecided.port}"}
    problems = [each for each in browser.problems if "400 (Bad Request)" not in each]
    assert problems == []
