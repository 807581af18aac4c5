"""Training and packing are measured at the sizes asked for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import scaling
from src.data.faceset import FaceSet, Split

pytestmark = pytest.mark.usefixtures("project")


@pytest.mark.long
def test_scaling_trains_every_size_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    scaling.main(["--experiment", "Baseline", "--images", "40", "80", "--subjects", "3", "--json"])
    costs = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(c["images"], c["subjects"], c["epochs"]) for c in costs] == [(40, 3, 3), (80, 3, 3)]
    for cost in costs:
        least = cost["once_seconds"] + cost["epochs"] * cost["epoch_seconds"]
        assert cost["seconds"] > 0.5 * least > 0, "nothing is projected, but for the first epoch"
        assert 50 < cost["peak_memory_mb"] < 6000


@pytest.mark.long
def test_scaling_projects_the_epochs_it_was_told_to_leave(
    capsys: pytest.CaptureFixture[str],
) -> None:
    scaling.main(
        ["--experiment", "ModelC", "--images", "16", "--epochs", "50", "--measured-epochs", "1"]
    )
    assert capsys.readouterr().out.rstrip().endswith("from 1")


@pytest.mark.long
def test_scaling_packs_an_archive_of_the_size_asked_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    scaling.main(["--packing", "--images", "48", "--subjects", "4", "--json"])
    cost = json.loads(capsys.readouterr().out)
    assert (cost["images"], cost["subjects"]) == (48, 4) and cost["archive_mb"] > 0
    assert cost["seconds"] > cost["load_seconds"] > 0
    assert 0 < cost["peak_own_mb"] <= cost["peak_memory_mb"]


def test_the_enlarged_dataset_has_the_size_asked_for(project: Path) -> None:
    faces = scaling.enlarge(FaceSet.load(project / "data/faces.safetensors"), 50, 7)
    assert [len(faces.rows(split)) for split in Split] == [50, 5, 0]
    assert set(faces.labels.tolist()) == set(range(7)) and len(faces.subjects) == 7


@pytest.mark.parametrize("images", ["0", "-5", "many"])
def test_a_size_that_is_none_is_refused(images: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        scaling.main(["--experiment", "Baseline", f"--images={images}"])
    assert stopped.value.code == 2
    assert "whole number" in capsys.readouterr().err
