"""What the report reads, missing or of another version: one line, and the old page stays."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.report import main
from src import paths
from src.config import load_params
from src.errors import StaleInputError
from src.files import write_json, write_text
from src.report.inputs import ReportInputs
from src.tracking.record import MetricPoint, ModelFile, RunRecord, SeedRun
from tests import fabricate

NAME = "ModelA"


@pytest.fixture
def old_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The page of an earlier report, in a fabricated project that is the working folder."""
    fabricate.write_project(tmp_path, fabricate.faces())
    monkeypatch.chdir(tmp_path)
    paths.REPORT_PAGE.parent.mkdir()
    paths.REPORT_PAGE.write_text("old")
    return paths.REPORT_PAGE


def test_figures_that_lack_an_experiment_leave_the_old_report_alone(old_page: Path) -> None:
    write_json(paths.TEST_METRICS, {})
    with pytest.raises(StaleInputError, match=r"metrics/test\.json: has no figures of Baseline"):
        main([])
    assert old_page.read_text() == "old"


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (paths.curves(NAME), r"ModelA\.csv: missing or empty"),
        (paths.train_metrics(NAME), r"ModelA\.json: missing or broken"),
        (paths.AUDIT, r"audit\.json: missing or broken"),
        (paths.CONTACT_SHEET, r"contact_sheet\.png: missing"),
    ],
)
def test_a_file_that_is_missing_is_named_in_one_line(path: Path, said: str, old_page: Path) -> None:
    path.unlink()
    with pytest.raises(StaleInputError, match=said):
        main([])
    assert old_page.read_text() == "old"


def test_results_of_other_images_or_of_an_earlier_network_are_not_shown(old_page: Path) -> None:
    record = RunRecord.read(paths.run_record(NAME))
    kept = ModelFile(path="models/ModelA.safetensors", md5="1" * 32)
    record.model_copy(update={"model": kept}).write(paths.run_record(NAME))
    write_text(paths.evaluated_model(NAME), "1" * 32 + "\n")
    ReportInputs.load(load_params())
    write_text(paths.evaluated_model(NAME), "0" * 32 + "\n")
    with pytest.raises(StaleInputError, match=r"model\.md5: not of today's network of ModelA"):
        main([])
    fabricate.faces(test=19).save(paths.FACES)
    with pytest.raises(StaleInputError, match="made from other faces or labels"):
        main([])
    assert old_page.read_text() == "old"


def test_a_run_that_resumed_took_no_less_than_its_epochs(old_page: Path) -> None:
    path, load = paths.run_record(NAME), lambda: ReportInputs.load(load_params()).training[NAME]
    record = RunRecord.read(path)
    assert load().seconds == (record.ended - record.started) / 1000
    epochs = tuple(
        MetricPoint(step=number, time=0, metrics={"seconds_per_epoch": 60.0}) for number in (1, 2)
    )
    record.model_copy(update={"epochs": epochs}).write(path)
    assert load().seconds == 120
    seeds = tuple(
        SeedRun(run_id=f"{seed:032}", seed=seed, started=0, ended=1, epochs=epochs, finals={})
        for seed in (0, 1)
    )
    record.model_copy(update={"seeds": seeds}).write(path)
    assert load().seconds == 120


def without_f1(metrics: dict[str, Any]) -> Any:
    del metrics["Baseline"]["macro_f1"]
    return metrics


OTHER = [
    (paths.TEST_METRICS, without_f1),
    *(
        (path, lambda _, content=content: content)
        for path in (paths.TEST_METRICS, paths.train_metrics(NAME), paths.AUDIT)
        for content in ({"Baseline": {}}, [])
    ),
]


@pytest.mark.parametrize(("path", "changed"), OTHER)
def test_a_file_of_another_version_is_named_in_one_line(
    path: Path, changed: Callable[[Any], Any], old_page: Path
) -> None:
    write_json(path, changed(json.loads(path.read_text())))
    with pytest.raises(StaleInputError, match=rf"{path}: (its content is not that|has no figures)"):
        main([])
    assert old_page.read_text() == "old"
