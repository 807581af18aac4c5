"""What the report says depends on the rows: of a literature study, or with names of their own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipelines.report import main
from src import paths
from src.config import PARAMS
from src.files import write_json
from tests import fabricate


@pytest.mark.parametrize("named", [True, False])
def test_the_step_of_a_literature_study_runs_outside_the_workspace_where_it_has_a_name(
    named: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = {"text": "any", "dataset": "none", "published": {"ModelA": 0.9}}
    fabricate.write_project(tmp_path, fabricate.faces())
    monkeypatch.chdir(tmp_path)
    write_json(Path("studies/mine.yaml"), {"study": study})
    write_json(PARAMS, json.loads(PARAMS.read_text()) | {"study": "mine" if named else study})
    main([])
    where = "--temp $(python -m src.preset mine) " if named else ""
    command = f"dvc exp run {where}-S experiments.ModelC.epochs=4"
    for path in (paths.REPORT_PAGE, paths.REPORT_TEXT, paths.SUMMARY):
        assert command in path.read_text()


def test_a_step_without_a_command_leaves_no_empty_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiments = {name: fabricate.EXPERIMENTS[name] for name in ("Baseline", "ModelA")}
    longer = {name: each.model_copy(update={"epochs": 30}) for name, each in experiments.items()}
    accuracy = {"Baseline": 0.4, "ModelA": 0.9}
    fabricate.write_project(tmp_path, fabricate.faces(), longer, accuracy, seeds=3)
    monkeypatch.chdir(tmp_path)
    write_json(Path("studies/mine.yaml"), {"study": {"text": "any", "dataset": "none"}})
    write_json(PARAMS, json.loads(PARAMS.read_text()) | {"study": "mine"})
    main([])
    html, text = paths.REPORT_PAGE.read_text(), paths.REPORT_TEXT.read_text()
    assert "Use ModelA.</p>" in html and "<pre>" not in html
    assert text.endswith("Use ModelA.\n") and "``" not in text


@pytest.mark.parametrize("ours", ["ModelC", "whole"])
def test_published_figures_have_a_column_where_a_row_has_one(
    ours: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiments = {
        "linear": fabricate.EXPERIMENTS["Baseline"],
        ours: fabricate.EXPERIMENTS["ModelC"],
    }
    accuracy = {"linear": 0.3, ours: 0.95}
    fabricate.write_project(tmp_path, fabricate.faces(), experiments, accuracy)
    monkeypatch.chdir(tmp_path)
    main([])
    html, text = paths.REPORT_PAGE.read_text(), paths.REPORT_TEXT.read_text()
    for page in (html, text):
        assert ("published test" in page) == (ours == "ModelC")
        assert ("Published figures" in page) == (ours == "ModelC")
    table = [line for line in text.splitlines() if line.startswith("| ")]
    assert len({line.count(" | ") for line in table}) == 1
    assert html.count("<td") % len(experiments) == 0
