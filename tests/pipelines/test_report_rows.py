"""What the report says depends on its rows: their study, names, seeds, epochs and features."""

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


@pytest.mark.parametrize(
    ("select", "header", "note"),
    [
        ("best", "validation, best epoch", "is the best of its epochs on the same images"),
        ("last", "validation, last epoch", "every row keeps its last epoch"),
    ],
)
def test_the_page_says_what_was_chosen_by_validation_accuracy(
    select: str, header: str, note: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fabricate.write_project(tmp_path, fabricate.faces())
    for path in (tmp_path / paths.train_metrics("*")).parent.iterdir():
        write_json(path, json.loads(path.read_text()) | {"selected": select == "best"})
    monkeypatch.chdir(tmp_path)
    main([])
    html = paths.REPORT_PAGE.read_text()
    assert header in html
    for text in (html, paths.REPORT_TEXT.read_text()):
        assert note in text and "The best row was chosen by validation accuracy" in text


def test_with_several_seeds_the_page_shows_their_number_and_spread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fabricate.write_project(tmp_path, fabricate.faces(), seeds=3)
    monkeypatch.chdir(tmp_path)
    main([])
    metrics = json.loads(paths.TEST_METRICS.read_text())["ModelA"]
    spread = f"3 (sd {100 * metrics['accuracy_sd']:.1f})"
    for text in (paths.REPORT_PAGE.read_text(), paths.REPORT_TEXT.read_text()):
        assert spread in text
        assert f"{metrics['accuracy']:.1%}" in text
        assert "Images are crossed with seeds" in text and "McNemar" not in text


def test_the_page_advises_what_trains_and_on_which_features(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    still = fabricate.EXPERIMENTS["ModelC"].model_copy(
        update={"multipliers": {"base": 0.0}, "features": "conv4_x"}
    )
    experiments = {"Baseline": fabricate.EXPERIMENTS["Baseline"], "ModelC": still}
    accuracy = {"Baseline": 0.3, "ModelC": 0.95}
    fabricate.write_project(tmp_path, fabricate.faces(), experiments, accuracy)
    monkeypatch.chdir(tmp_path)
    main([])
    said = "Keep the network frozen and train a new linear head on the features of conv4_x: "
    assert f"<h1>{said}" in paths.REPORT_PAGE.read_text()
    assert "Unfreeze" not in paths.REPORT_PAGE.read_text()
