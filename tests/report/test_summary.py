"""The summary names every row, and ends with the step that the report advises."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from src import paths
from src.config import PARAMS, Experiment, read_yaml
from src.evaluation.metrics import score
from src.evaluation.predictions import Predictions
from src.files import write_json
from src.report.comparison import compare_experiments
from src.report.summary import Summary
from tests import fabricate
from tests.shipped import SHIPPED

ROOT = Path(__file__).parents[2]
ROWS = {"Baseline": ("head",), "ModelA": ("head", "conv5_x")}
HEAVY = ("torch", "numpy", "scipy", "pandas", "matplotlib")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with the rows above, entered."""
    experiments = {
        name: {"train": [*train], "batch_size": 8, "epochs": 1} for name, train in ROWS.items()
    }
    write_json(tmp_path / PARAMS, {**read_yaml(SHIPPED / PARAMS), "experiments": experiments})
    monkeypatch.chdir(tmp_path)
    return tmp_path


def answers(accuracy: float, images: int, seeds: int) -> NDArray[np.float32]:
    """(S, N, 2) logits that are right for the first images, so that experiments agree on them."""
    right = np.arange(images) < round(accuracy * images)
    return np.stack([np.stack([right, ~right], axis=1)] * seeds).astype(np.float32)


def report(
    validation: dict[str, float], test: dict[str, float], *, images: int = 20, seeds: int = 1
) -> None:
    """Store what a report with these accuracies comes to; subject 0 is in every image."""
    rows = np.arange(images)
    logits = {name: answers(share, images, seeds) for name, share in test.items()}
    predictions = Predictions(logits, np.zeros_like(rows), rows, ("ann", "bob"))
    experiments = {name: Experiment(train=ROWS[name], batch_size=8, epochs=1) for name in test}
    trained = {name: fabricate.trained(validation[name]) for name in test}
    scores = {name: score(each, predictions.labels) for name, each in logits.items()}
    unfrozen = {name: ROWS[name][1:] for name in test}
    Summary.of(
        compare_experiments(experiments, trained, scores, predictions, unfrozen=unfrozen)
    ).write()


def summary(code: str | None = None) -> subprocess.CompletedProcess[str]:
    """What the command prints, or `code`, in a process of its own."""
    command = [sys.executable, *(["-c", code] if code else ["-m", "src.summary"])]
    environment = {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("validation", "test", "images", "seeds", "step"),
    [
        ((0.9, 0.5), (0.5, 0.7), 100, 1, "dvc exp run -S seeds=5"),
        ((0.9, 0.5), (0.9, 0.7), 100, 3, "python -m src.tune"),
        # They differ in two of ten images.
        ((0.5, 0.9), (0.5, 0.7), 10, 3, "python -m src.crossvalidate"),
        ((0.5, 0.9), (0.5, 0.7), 100, 3, "--model models/ModelA.safetensors photo.jpg"),
    ],
)
def test_the_last_step_is_that_of_the_reports_page(
    validation: tuple[float, float], test: tuple[float, float], images: int, seeds: int, step: str
) -> None:
    chosen, tested = (dict(zip(ROWS, shares, strict=True)) for shares in (validation, test))
    report(chosen, tested, images=images, seeds=seeds)
    lines = summary().stdout.splitlines()
    assert lines[-1].endswith(step)
    row = next(line for line in lines if line.startswith("ModelA"))
    assert "70.0%" in row and f"{100 * (test[1] - test[0]):+.1f} points" in row
    assert not [line for line in lines if "\x1b" in line]


def test_where_validation_and_test_disagree_the_last_step_says_so() -> None:
    report({"Baseline": 0.5, "ModelA": 0.9}, {"Baseline": 0.7, "ModelA": 0.5}, images=100, seeds=3)
    last = summary().stdout.splitlines()[-1]
    assert "disagree about ModelA and Baseline" in last
    assert last.endswith("python -m src.crossvalidate")


@pytest.mark.parametrize("seeds", [1, 3])
def test_seeds_have_a_column_where_there_are_several(seeds: int) -> None:
    report(dict.fromkeys(ROWS, 0.5), {"Baseline": 0.5, "ModelA": 0.7}, seeds=seeds)
    heading, row, *_ = summary().stdout.splitlines()
    assert ("seeds" in heading.split()) == (seeds > 1)
    assert (row.split()[1] == "3") == (seeds > 1)


def test_it_is_printed_without_a_library_that_takes_long_to_import() -> None:
    report(dict.fromkeys(ROWS, 0.5), {"Baseline": 0.5, "ModelA": 0.7})
    code = f"import sys, src.summary; src.summary.main([]); print({{*{HEAVY}}} & {{*sys.modules}})"
    assert summary(code).stdout.endswith("\nset()\n")


def test_a_row_that_the_last_report_lacks_is_said_on_one_line() -> None:
    report(dict.fromkeys(ROWS, 0.5), {"Baseline": 0.5})
    done = summary()
    assert done.returncode == 2
    assert "has no test accuracy of ModelA" in done.stderr and done.stderr.count("\n") == 1


def test_a_row_that_params_no_longer_has_is_said_on_one_line() -> None:
    report(dict.fromkeys(ROWS, 0.5), dict.fromkeys(ROWS, 0.5))
    params = read_yaml(PARAMS)
    del params["experiments"]["ModelA"]
    write_json(PARAMS, params)  # JSON is YAML
    done = summary()
    assert done.returncode == 2
    assert "has ModelA, which params.yaml does not" in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize("text", [None, "{", "[]", "{}", '{"rows": [{"name": "Baseline"}]}'])
def test_a_missing_or_broken_summary_is_said_on_one_line(folder: Path, text: str | None) -> None:
    if text is not None:
        (folder / paths.SUMMARY).parent.mkdir()
        (folder / paths.SUMMARY).write_text(text)
    done = summary()
    assert done.returncode == 2
    assert "reports/summary.json: missing or broken" in done.stderr
    assert done.stderr.count("\n") == 1
