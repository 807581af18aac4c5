"""A small project to time: few faces of 16 pixels, random weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from ruamel.yaml import YAML

from src.config import PARAMS
from src.data.faceset import FaceSet
from src.models.weights import random_weights
from tests.shipped import SHIPPED

EXPERIMENTS = {
    "Baseline": {"train": ["head"], "batch_size": 8, "epochs": 3},
    "ModelA": {"train": ["head", "conv5_x"], "batch_size": 8, "epochs": 2},
    "ModelC": {"train": ["all"], "batch_size": 8, "epochs": 2},
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project on disk, entered: packed faces and source weights, no features."""
    raw = YAML(typ="safe").load((SHIPPED / PARAMS).read_text(encoding="utf-8"))
    raw["experiments"], raw["data"]["image_size"] = EXPERIMENTS, 16
    with (tmp_path / PARAMS).open("w", encoding="utf-8") as file:
        YAML(typ="safe").dump(raw, file)
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(2).repeat_interleave(20)
    images = torch.randint(0, 120, (40, 3, 16, 16), generator=generator, dtype=torch.uint8)
    images[torch.arange(40), labels] += 100
    split = torch.tensor([0] * 12 + [1] * 4 + [2] * 4, dtype=torch.uint8).repeat(2)
    for folder in ("data", "models"):
        (tmp_path / folder).mkdir()
    FaceSet(images, labels, split, ("ann", "bob")).save(tmp_path / "data/faces.safetensors")
    random_weights("resnet18", 0).save(tmp_path / "models/source.safetensors")
    monkeypatch.chdir(tmp_path)
    return tmp_path
