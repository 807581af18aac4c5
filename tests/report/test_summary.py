"""The summary names every row, and the results choose the last of the next steps."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from src import paths
from src.config import PARAMS, read_yaml
from src.evaluation.predictions import Predictions
from src.files import write_json
from tests.shipped import SHIPPED

ROOT = Path(__file__).parents[2]
ROWS = {"Baseline": ["head"], "ModelA": ["head", "conv5_x"]}


def answers(accuracy: float, images: int) -> NDArray[np.float32]:
    """(1, N, 2) logits that are right for the first images, so that experiments agree on them."""
    right = np.arange(images) < round(accuracy * images)
    return np.stack([right, ~right], axis=1)[None].astype(np.float32)


def summary(
    folder: Path,
    validation: dict[str, float],
    test: dict[str, float],
    *,
    images: int = 20,
    seeds: int = 1,
) -> subprocess.CompletedProcess[str]:
    """What the command prints in a folder with these accuracies; subject 0 is in every image."""
    params = {**read_yaml(SHIPPED / PARAMS)}
    params["experiments"] = {
        name: {"train": train, "batch_size": 8, "epochs": 1} for name, train in ROWS.items()
    }
    write_json(folder / PARAMS, params)
    for name, accuracy in validation.items():
        metrics = {"val": {"accuracy": accuracy}, "trainable_parameters": 1}
        write_json(folder / paths.train_metrics(name), metrics)
    scores = {
        name: {"accuracy": share, "accuracy_low": 0.4, "accuracy_high": 0.8, "seeds": seeds}
        for name, share in test.items()
    }
    write_json(folder / paths.TEST_METRICS, scores)
    rows = np.arange(images)
    logits = {name: answers(share, images) for name, share in test.items()}
    predictions = Predictions(logits, np.zeros_like(rows), rows, ("ann", "bob"))
    predictions.save(folder / paths.PREDICTIONS)
    command = [sys.executable, "-m", "src.summary"]
    environment = {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("validation", "images", "step"),
    [
        ((0.9, 0.5), 100, "python -m src.tune: Baseline"),
        ((0.5, 0.9), 20, "python -m src.advise --check"),  # 4 to 0 images: p = 0.125
        ((0.5, 0.9), 100, "python -m src.predict PHOTO"),  # 20 to 0
    ],
)
def test_the_best_row_and_the_paired_test_choose_the_last_step(
    tmp_path: Path, validation: tuple[float, float], images: int, step: str
) -> None:
    accuracies = dict(zip(ROWS, validation, strict=True))
    done = summary(tmp_path, accuracies, {"Baseline": 0.5, "ModelA": 0.7}, images=images)
    lines = done.stdout.splitlines()
    assert lines[-1].strip().startswith(step)
    row = next(line for line in lines if line.startswith("ModelA"))
    assert "70.0%" in row and "+20.0 points" in row
    assert not [line for line in lines if "\x1b" in line]


@pytest.mark.parametrize("seeds", [1, 3])
def test_seeds_have_a_column_where_there_are_several(tmp_path: Path, seeds: int) -> None:
    done = summary(
        tmp_path, dict.fromkeys(ROWS, 0.5), {"Baseline": 0.5, "ModelA": 0.7}, seeds=seeds
    )
    heading, row, *_ = done.stdout.splitlines()
    assert ("seeds" in heading.split()) == (seeds > 1)
    assert (row.split()[1] == "3") == (seeds > 1)


def test_a_missing_test_accuracy_is_said_on_one_line(tmp_path: Path) -> None:
    done = summary(tmp_path, dict.fromkeys(ROWS, 0.5), {"Baseline": 0.5})
    assert done.returncode == 2
    assert "has no test accuracy of ModelA" in done.stderr and done.stderr.count("\n") == 1
