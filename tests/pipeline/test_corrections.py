"""A decision about an image reruns stage `dataset`, which applies it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from src.data.corrections import Correction, write_corrections
from tests.data.conftest import subjects, write_folder
from tests.pipeline.repository import Repository

pytestmark = pytest.mark.pipeline


def test_a_decision_reruns_the_dataset_stage_and_is_applied(tmp_path: Path) -> None:
    settings = {
        "data": {"origin": "faces", "image_size": 32},
        "unknown": {"origin": "data/nobody.yaml"},
        "experiments": {"Baseline": {"train": ["head"], "batch_size": 8, "epochs": 1}},
    }
    repository = Repository.with_pipeline(tmp_path, settings)
    write_folder(tmp_path / "faces", subjects(each=12))
    assert "corrections" not in repository.run("dvc", "repro", "dataset")
    before = manifest(tmp_path)
    file, split = next((row["file"], row["split"]) for row in before if row["subject"] == "a")
    renamed = Correction("faces", file, "a", "rename", "b")
    kept = Correction("faces", "c/0.png", "c", "keep")
    write_corrections(tmp_path / "data/corrections.csv", [renamed, kept])
    assert "corrections: 1 renamed, 1 kept" in repository.run("dvc", "repro", "dataset")
    after = {row["file"]: row for row in manifest(tmp_path)}
    expected = {row["file"]: row for row in before}
    expected[file] = {**expected[file], "subject": "b"}
    assert after == expected and expected[file]["split"] == split
    audit = json.loads((tmp_path / "data/audit.json").read_text())
    assert audit["corrections"] == {"renamed": 1, "dropped": 0, "kept": 1}
    write_corrections(tmp_path / "data/corrections.csv", [Correction("faces", "x", "a", "drop")])
    said = repository.run("dvc", "repro", "dataset", fails=True)
    assert "error: data/corrections.csv: x: faces has no such file; remove the line" in said


def manifest(folder: Path) -> list[dict[str, str]]:
    with (folder / "data/manifest.csv").open(encoding="utf-8") as file:
        return [*csv.DictReader(file)]
