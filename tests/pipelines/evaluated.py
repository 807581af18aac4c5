"""What the stage that evaluates reads and writes, for two experiments that nobody trained."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch

from src import paths
from src.config import PARAMS
from src.data.faceset import FaceSet, Split
from src.files import write_csv, write_json
from src.models.network import load_state
from src.models.seeds import save_seed_states
from src.tracking.run import track
from tests import fabricate
from tests.shipped import SHIPPED
from tests.tracking.projects import EXPERIMENT, Project

NAMES = ("Baseline", "ModelA")
SUBJECTS = ("ann", "bob", "eve")


def prepare() -> FaceSet:
    """What the stage reads, in the working directory."""
    import yaml

    params = yaml.safe_load((SHIPPED / PARAMS).read_text())
    params["experiments"] = {
        name: {"train": ["head"], "batch_size": 8, "epochs": 1} for name in NAMES
    }
    write_json(PARAMS, params)
    shutil.copy(Project.model, paths.model("Baseline"))
    for name in NAMES:
        state, _ = load_state(paths.model(name))
        further = [{key: 2 * value if key == "fc.bias" else value for key, value in state.items()}]
        seeds = {"Baseline": [0], "ModelA": [0, 1]}[name]
        save_seed_states(paths.seed_models(name), seeds, state, further[: len(seeds) - 1])
        epoch = {
            "epoch": 1,
            "train_loss": 1,
            "train_accuracy": 0.5,
            "val_loss": 1,
            "val_accuracy": 0.4,
        }
        write_csv(paths.curves(name), epoch, [epoch.values()])
        with track(
            experiment=EXPERIMENT,
            name=name,
            params={},
            dataset=None,
            stage="s",
            record=paths.run_record(name),
        ):
            pass
        metrics = {"val": {"accuracy": 0.5}, "trainable_parameters": int(name == "Baseline")}
        write_json(paths.train_metrics(name), metrics)
    faces = fabricate.faces(SUBJECTS, train=2, test=3)
    faces.save(paths.FACES)
    others().save(paths.STRANGERS)
    return faces


def others(size: int = 32) -> FaceSet:
    """Four strangers with three images each, two of them to set the threshold."""
    images = torch.randint(
        200, (12, 3, size, size), generator=torch.Generator().manual_seed(1), dtype=torch.uint8
    )
    labels = torch.arange(4).repeat_interleave(3)
    split = torch.where(labels % 2 == 0, int(Split.val), int(Split.test)).to(torch.uint8)
    return FaceSet(images, labels, split, ("u", "v", "w", "x"))


def outputs() -> dict[Path, bytes]:
    folders = [Path("data"), Path("metrics"), Path("plots/confusion"), Path("plots/test")]
    files = (path for folder in folders for path in folder.rglob("*") if path.is_file())
    given = {paths.FACES, paths.STRANGERS}
    return {path: path.read_bytes() for path in files if path not in given}
