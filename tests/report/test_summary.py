"""The summary names every row, and the results choose the last of the next steps."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from src import paths
from src.config import PARAMS, read_yaml
from src.files import write_json
from tests.shipped import SHIPPED

ROOT = Path(__file__).parents[2]
ROWS = {"Baseline": ["head"], "ModelA": ["head", "conv5_x"]}


def summary(
    folder: Path, validation: dict[str, float], test: dict[str, tuple[float, ...]]
) -> subprocess.CompletedProcess[str]:
    """What the command prints in a folder with these accuracies and, on test images, intervals."""
    params = {**read_yaml(SHIPPED / PARAMS)}
    params["experiments"] = {
        name: {"train": train, "batch_size": 8, "epochs": 1} for name, train in ROWS.items()
    }
    write_json(folder / PARAMS, params)
    for name, accuracy in validation.items():
        metrics = {"val": {"accuracy": accuracy}, "trainable_parameters": 1}
        write_json(folder / paths.train_metrics(name), metrics)
    keys = ("accuracy", "accuracy_low", "accuracy_high")
    scores = {name: dict(zip(keys, values, strict=True)) for name, values in test.items()}
    write_json(folder / paths.TEST_METRICS, scores)
    command = [sys.executable, "-m", "src.summary"]
    environment = {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("validation", "interval", "step"),
    [
        ((0.9, 0.5), (0.7, 0.6, 0.8), "python -m src.tune: Baseline"),
        ((0.5, 0.9), (0.7, 0.4, 0.8), "python -m src.advise --check"),
        ((0.5, 0.9), (0.7, 0.6, 0.8), "python -m src.predict PHOTO"),
    ],
)
def test_the_results_choose_the_last_step(
    tmp_path: Path,
    validation: tuple[float, float],
    interval: tuple[float, float, float],
    step: str,
) -> None:
    test = {"Baseline": (0.5, 0.4, 0.6), "ModelA": interval}
    lines = summary(tmp_path, dict(zip(ROWS, validation, strict=True)), test).stdout.splitlines()
    assert lines[-1].strip().startswith(step)
    row = next(line for line in lines if line.startswith("ModelA"))
    assert "70.0%" in row and "+20.0 points" in row
    assert not [line for line in lines if "\x1b" in line]


def test_a_missing_test_accuracy_is_said_on_one_line(tmp_path: Path) -> None:
    done = summary(tmp_path, dict.fromkeys(ROWS, 0.5), {"Baseline": (0.5, 0.4, 0.6)})
    assert done.returncode == 2
    assert "has no test accuracy of ModelA" in done.stderr and done.stderr.count("\n") == 1
