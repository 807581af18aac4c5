"""A small project to time: few faces of 16 pixels, random weights."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from ruamel.yaml import YAML

from benchmarks import engine
from src.config import PARAMS
from src.data.faceset import FaceSet
from src.models.weights import random_weights
from tests.shipped import SHIPPED

EXPERIMENTS = {
    "Baseline": {"train": ["head"], "batch_size": 8, "epochs": 3},
    "ModelA": {"train": ["head", "conv5_x"], "batch_size": 8, "epochs": 2},
    "ModelC": {"train": ["all"], "batch_size": 8, "epochs": 2},
}


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project that every test gets a copy of."""
    root = tmp_path_factory.mktemp("original")
    raw = YAML(typ="safe").load((SHIPPED / PARAMS).read_text(encoding="utf-8"))
    raw["experiments"], raw["data"]["image_size"] = EXPERIMENTS, 16
    with (root / PARAMS).open("w", encoding="utf-8") as file:
        YAML(typ="safe").dump(raw, file)
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(2).repeat_interleave(20)
    images = torch.randint(0, 120, (40, 3, 16, 16), generator=generator, dtype=torch.uint8)
    images[torch.arange(40), labels] += 100
    split = torch.tensor([0] * 12 + [1] * 4 + [2] * 4, dtype=torch.uint8).repeat(2)
    for folder in ("data", "models"):
        (root / folder).mkdir()
    FaceSet(images, labels, split, ("ann", "bob")).save(root / "data/faces.safetensors")
    random_weights("resnet18", 0).save(root / "models/source.safetensors")
    return root


@pytest.fixture
def project(original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project on disk, entered: packed faces and source weights, no features."""
    root = tmp_path / "project"
    (root / "data").mkdir(parents=True)
    (root / "models").mkdir()
    shutil.copy(original / PARAMS, root)
    for name in ("data/faces.safetensors", "models/source.safetensors"):
        (root / name).hardlink_to(original / name)  # 45 MB, which whoever writes them replaces
    monkeypatch.chdir(root)
    monkeypatch.setattr(engine, "WARM_UP", 0.0)
    return root
