"""Altered model files: each is refused in one line, and none gives an answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from src import paths
from src.cli import run
from src.config import Head
from src.errors import WeightsError
from src.models.classifier import Classifier
from src.models.network import Network, load_state, save_network
from src.predict import main
from src.tensors import save_tensors
from tests.tracking.finished import finish_run
from tests.tracking.projects import Project

State = dict[str, Tensor]
HEAD = "classifier.weight"
TENSORS: dict[str, Callable[[State], object]] = {
    "a NaN": lambda state: state[HEAD][0].fill_(torch.nan),
    "infinity": lambda state: state["features.0.0.weight"].view(-1)[0].fill_(torch.inf),
    "NaN statistics": lambda state: state["features.0.1.running_var"].fill_(torch.nan),
    "negative variances": lambda state: state["features.0.1.running_var"].fill_(-1),
    "missing": lambda state: state.pop(HEAD),
    "unknown": lambda state: state.update(more=torch.ones(1)),
    "renamed": lambda state: state.update(more=state.pop(HEAD)),
    "another shape": lambda state: state.update({HEAD: state[HEAD][:2].clone()}),
    "half precision": lambda state: state.update({HEAD: state[HEAD].half()}),
    "double precision": lambda state: state.update({HEAD: state[HEAD].double()}),
    "integers": lambda state: state.update({HEAD: state[HEAD].to(torch.int64)}),
    "nothing": lambda state: state.clear(),
}
SPECS: dict[str, object] = {
    "backbone": ["resnet99", 7, None, "resnet18", []],
    "stem": ["stride9", 1, None],
    "image_size": [0, -32, "32", 32.5, None, 10**9, [32]],
    "subjects": [[], ["ann"], ["ann", "bob", "eve", "zoe"], [1, 2, 3], "ann", None],
    "hidden": [[8], [-1], [0], "8", 8],
    "dropout": [[0.5], "half"],
    "mean": [[0.5], [], ["a", "b", "c"], None, [float("nan")] * 3, [1e999] * 3],
    "deviation": [[0.0, 0.0, 0.0], [-1.0, 1.0, 1.0], [float("nan")] * 3, [1.0]],
    "crop": [64, 0, -1, "16"],
    "last": ["layer9", 3, ""],
    "kind": ["forest", "knn", None],
    "stored": [0, "many"],
    "fit": ["squeeze", 1],
    "unheard_of": [1],
}


@pytest.fixture
def photo(project: Project) -> str:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    Image.fromarray(pixels).save("photo.png")
    return "photo.png"


def refused(capsys: pytest.CaptureFixture[str], model: Path, photo: str) -> str:
    with pytest.raises(SystemExit) as stopped:
        run(main, ["--json", "--model", str(model), photo])
    printed = capsys.readouterr()
    assert (stopped.value.code, printed.out, printed.err.count("\n")) == (2, "", 1)
    assert printed.err.startswith("error: ") and len(printed.err) < 400
    return printed.err


@pytest.mark.parametrize("change", TENSORS)
def test_altered_tensors_are_refused(
    project: Project, photo: str, capsys: pytest.CaptureFixture[str], change: str
) -> None:
    state, spec = load_state(project.model)
    TENSORS[change](state)
    save_network(Path("altered.safetensors"), state, spec)
    refused(capsys, Path("altered.safetensors"), photo)


@pytest.mark.parametrize("key", SPECS)
def test_an_altered_specification_is_refused(
    project: Project, photo: str, capsys: pytest.CaptureFixture[str], key: str
) -> None:
    state, spec = load_state(project.model)
    values: Any = SPECS[key]
    for value in values:
        about = spec.stored_form() | {key: value}
        save_tensors(Path("altered.safetensors"), state, spec=about)
        refused(capsys, Path("altered.safetensors"), photo)


@pytest.mark.parametrize("about", [None, 7, "text", [], [["backbone", "x"]], {}])
def test_a_foreign_specification_is_refused(
    project: Project, photo: str, capsys: pytest.CaptureFixture[str], about: object
) -> None:
    state, _ = load_state(project.model)
    save_tensors(Path("altered.safetensors"), state, spec=about)
    refused(capsys, Path("altered.safetensors"), photo)


def test_neighbours_out_of_range_are_refused(project: Project, tmp_path: Path) -> None:
    _, spec = load_state(project.model)
    spec = replace(spec, head=Head(kind="knn"), stored=4)
    sound = Network(spec).state_dict()
    save_network(tmp_path / "sound", sound, spec)
    Classifier.load(tmp_path / "sound")
    changes = {"neighbours": 9, "labels": 3, "scale": 0}
    for name, value in changes.items():
        altered = {
            **sound,
            f"classifier.{name}": torch.full_like(sound[f"classifier.{name}"], value),
        }
        save_network(tmp_path / "altered", altered, spec)
        with pytest.raises(WeightsError, match="out of range"):
            Classifier.load(tmp_path / "altered")


def test_a_projects_model_that_was_changed_since_its_training_is_noticed(
    project: Project, photo: str, capsys: pytest.CaptureFixture[str]
) -> None:
    finish_run(project)
    main(["--json", "--model", str(project.model), photo])
    json.loads(capsys.readouterr().out)
    state, spec = load_state(project.model)
    state[HEAD][0, 0] += 1
    save_network(paths.model("ModelA"), state, spec)
    line = refused(capsys, project.model, photo)
    assert "models/ModelA.safetensors: changed since its training wrote it" in line
    assert "dvc checkout models/ModelA.safetensors" in line and "train@ModelA" in line
