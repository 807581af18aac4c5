"""A small project to search in: few faces of 16 pixels, random weights, narrow heads."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from ruamel.yaml import YAML

from src import paths
from src.config import PARAMS, Params, load_params, validate
from tests.shipped import SHIPPED

if TYPE_CHECKING:
    from src.data.faceset import FaceSet

SMALL = {
    "trials": 12,
    "epochs": 6,
    "wave": 4,
    "pruner": "halving",
    "heartbeat": 1,
    "space": {
        "layers": [1, 2],
        "width": [4, 16],
        "dropout": [0.0, 0.5],
        "learning_rate": [0.001, 0.1],
        "weight_decay": [0.001, 0.1],
        "batch_size": [8, 16],
    },
}


@pytest.fixture(scope="session")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project on disk, with features; `ModelD-published` is the one head under experiments."""
    import torch

    from src.data.faceset import FaceSet
    from src.models.weights import random_weights

    root = tmp_path_factory.mktemp("searched")
    raw = YAML(typ="safe").load((SHIPPED / PARAMS).read_text(encoding="utf-8"))
    head = {"hidden": [8, 6], "dropout": [0.0, 0.0]}
    raw["experiments"] = {
        "ModelD-published": {"train": ["head"], "head": head, "batch_size": 8, "epochs": 6}
    }
    raw["data"]["image_size"], raw["tune"] = 16, raw["tune"] | SMALL
    with (root / PARAMS).open("w", encoding="utf-8") as file:
        YAML(typ="safe").dump(raw, file)
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(4).repeat_interleave(20)
    images = torch.randint(0, 90, (80, 3, 16, 16), generator=generator, dtype=torch.uint8)
    images[:, :, :8] += (labels * 40).to(torch.uint8).view(-1, 1, 1, 1)
    split = torch.tensor([0] * 10 + [1] * 6 + [2] * 4, dtype=torch.uint8).repeat(4)
    faces = FaceSet(images, labels, split, ("ann", "bob", "cyd", "dee"))
    for path in (paths.FACES, paths.SOURCE):
        (root / path).parent.mkdir(parents=True)
    random_weights("resnet18", 0).save(root / paths.SOURCE)
    write_faces(root, faces)
    return root


def write_faces(root: Path, faces: FaceSet) -> None:
    """The dataset of a project that has weights, and its features."""
    from src.training.device import resolve
    from src.training.job import StartingPoint, make_features
    from src.tune.objective import Objective

    faces.save(root / paths.FACES)
    starting_point = StartingPoint.load(root / paths.FACES, root / paths.SOURCE)
    features: object = None
    params = load_params(root / PARAMS)
    objective = Objective(params, starting_point, features, resolve("cpu", "float32"))
    make_features(objective.any_job).save(root / paths.FEATURES)


@pytest.fixture
def here(searched: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh copy of the project, entered; its store is its own."""
    root = tmp_path / "project"
    shutil.copytree(searched, root, copy_function=os.link)
    monkeypatch.chdir(root)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return root


def tuned(**changes: object) -> Params:
    """The project's parameters with changes to `tune`; `seed` is the project's."""
    params = load_params()
    seed = {"seed": changes.pop("seed")} if "seed" in changes else {}
    tune = validate(type(params.tune), params.tune.model_dump() | changes, "test")
    return params.model_copy(update={"tune": tune, **seed})


def command(*argv: str) -> list[str]:
    """The command line of a search."""
    return [sys.executable, "-m", "src.tune", *argv]
