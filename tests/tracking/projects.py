"""A project with a trained model, faces and an MLflow store of its own for every test.

The database is created and migrated once, which takes seconds, and copied.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.shipped import SHIPPED
from tests.tracking.servers import Server, new_server

os.environ.pop("MLFLOW_TRACKING_URI", None)
PARAMS_FILE = SHIPPED / "params.yaml"
EXPERIMENT, MODEL = "face-finetune", "face-classifier"  # the names in it


@dataclass(frozen=True)
class Project:
    """Folders as a stage sees them; the working directory of the test."""

    root: Path
    model: Path = Path("models/ModelA.safetensors")
    faces: Path = Path("data/faces.safetensors")
    record: Path = Path("runs/ModelA.json")
    curves: Path = Path("plots/curves/ModelA.csv")


@pytest.fixture(scope="session")
def blueprint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project on disk: `.dvc`, params.yaml, faces, random weights, a migrated store."""
    import torch

    from src.data.faceset import FaceSet
    from src.models.network import ModelSpec, Network, save_network
    from src.tracking.store import open_store

    root = tmp_path_factory.mktemp("blueprint")
    (root / ".dvc").mkdir()
    shutil.copy(PARAMS_FILE, root)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        open_store(EXPERIMENT)
    spec = ModelSpec(
        backbone="mobilenet_v2", stem="standard", image_size=32, subjects=("ann", "bob", "eve")
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_network(root / Project.model, Network(spec).state_dict(), spec)
    images = torch.randint(
        256, (6, 3, 32, 32), generator=torch.Generator().manual_seed(0), dtype=torch.uint8
    )
    split = torch.tensor([0, 0, 0, 1, 1, 2], dtype=torch.uint8)
    FaceSet(images, torch.arange(6) % 3, split, spec.subjects).save(root / Project.faces)
    (root / Project.curves).parent.mkdir(parents=True)
    (root / Project.curves).write_text("epoch,loss\n1,2.0\n")
    return root


@pytest.fixture
def project(blueprint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A fresh copy of the blueprint, entered."""
    root = tmp_path / "project"
    shutil.copytree(blueprint, root)
    monkeypatch.chdir(root)
    return Project(root)


def cloned(project: Project, blueprint: Path) -> Path:
    """A copy of the project whose store is as the blueprint's."""
    clone = project.root.with_name("clone")
    shutil.copytree(project.root, clone, ignore=shutil.ignore_patterns("mlruns"))
    shutil.copytree(blueprint / "mlruns", clone / "mlruns")
    return clone


@pytest.fixture
def server(blueprint: Path, tmp_path: Path) -> Iterator[Server]:
    """A running MLflow server, with a database of its own."""
    made = new_server(tmp_path / "server", blueprint / "mlruns" / "mlflow.db")
    made.start()
    yield made
    made.kill()
