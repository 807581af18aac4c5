"""The documentation's links and the tests that it names lead to what exists."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from src.closure import ROOT

RELIABILITY, SCALE = ROOT / "docs/reliability.md", ROOT / "docs/scale.md"
PAGES = [
    page
    for pattern in ("*.md", "docs/**/*.md", "conf/*.md", "studies/*.md", "weights/*.md")
    for page in ROOT.glob(pattern)
]


def anchors(page: Path) -> set[str]:
    """The fragments by which GitHub addresses a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken(page: Path) -> Iterator[str]:
    """Links to other places in the project that lead nowhere."""
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        path, _, fragment = link.partition("#")
        target = page.parent / path if path else page
        if not path.startswith("http") and not (
            target.exists() and (not fragment or fragment in anchors(target))
        ):
            yield link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_within_the_project_leads_somewhere(page: Path) -> None:
    assert not [*broken(page)]


@pytest.mark.parametrize(("page", "least"), [(RELIABILITY, 50), (SCALE, 10)])
def test_every_test_that_a_page_of_promises_names_exists(page: Path, least: int) -> None:
    named = re.findall(r"`(tests/[^`:]+)::(\w+)`", page.read_text())
    assert len(named) > least
    for path, name in named:
        body = ast.parse((ROOT / path).read_text()).body
        assert name in [each.name for each in body if isinstance(each, ast.FunctionDef)], name


def test_every_row_of_the_reliability_page_names_a_test() -> None:
    rows = re.findall(r"^\| (?!promise|---)(.+) \| (.*) \| (.*) \|$", RELIABILITY.read_text(), re.M)
    assert len(rows) > 30
    assert [promise for promise, shown_by, _ in rows if "::test_" not in shown_by] == []


def test_every_fault_that_the_page_on_scale_lists_names_a_test() -> None:
    faults = SCALE.read_text().partition("## Faults")[2]
    rows = re.findall(r"^\| (?!fault|---)(.+) \| (.*) \| (.*) \|$", faults, re.MULTILINE)
    assert len(rows) > 10
    assert [fault for fault, _, test in rows if "::test_" not in test] == []


def test_messages_that_troubleshooting_explains_are_said_by_the_code() -> None:
    page = (ROOT / "docs/troubleshooting.md").read_text()
    ours = page[page.index("## Settings") :]
    code = " ".join(path.read_text() for path in ROOT.glob("src/**/*.py"))
    code += " ".join(path.read_text() for path in ROOT.glob("pipelines/*.py"))
    code = re.sub(r'"\s+f?"', "", code)  # as Python joins strings on several lines
    symptoms = re.findall(r"^\| (?!symptom|---)(.+?) \| ", ours, re.MULTILINE)
    quoted = [text for symptom in symptoms for text in re.findall(r"`([^`]+)`", symptom)]
    assert len(quoted) > 20
    pieces = [piece.strip() for text in quoted for piece in re.split("…|NAME|nan", text)]
    assert [piece for piece in pieces if piece not in code] == []
