"""Wrong labels are planted and found again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import labels
from src.training.job import make_features
from tests.benchmarks.projects import job_of

pytestmark = pytest.mark.usefixtures("project")


def test_planted_labels_are_found_and_counted(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On images whose colours tell both subjects apart."""
    make_features(job_of("Baseline", project)).save(project / "data/features.safetensors")
    labels.main(["--seeds", "2", "--share", "0.1", "--json"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    for seed, line in enumerate(lines):
        found = json.loads(line)
        assert (found["seed"], found["planted"], found["images"]) == (seed, 3, 32)
        assert found["first"] <= found["found"] <= min(found["planted"], found["flagged"])
        assert found["recall of all"] == pytest.approx(found["found"] / 3)
        assert found["recall of all"] > 0.5 and found["classifiers' agreement"] > 0.9
    labels.main(["--seeds", "1"])
    printed = capsys.readouterr().out
    assert printed.startswith("2 of 32 labels planted, seeds: 1; mean (range)\n")
    assert printed.count("\n") == 7


@pytest.mark.parametrize(("share", "number"), [(0.05, 5), (0.3, 30), (0.001, 1)])
def test_as_many_labels_as_asked_for_are_replaced_by_others(share: float, number: int) -> None:
    before = np.arange(100) % 4
    after = labels.planted(before, share, seed=3)
    assert (after != before).sum() == number and {*after.tolist()} <= {0, 1, 2, 3}
    assert (labels.planted(before, share, seed=3) == after).all()
    assert (labels.planted(before, share, seed=4) != after).any()
