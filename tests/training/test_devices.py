"""The engine on every device there is: a GPU's results are the processor's, within rounding."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from src.config import Params
from src.data.faceset import FaceSet
from src.training import device as devices
from src.training.device import Compute, left_in_cgroup, resolve
from src.training.engine import run_job
from src.training.result import Epoch, TrainingResult
from tests.training.conftest import CPU32, make_job

DEVICES = [
    pytest.param("cpu", id="cpu"),
    pytest.param(
        "cuda",
        id="cuda",
        marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is here"),
    ),
]
EXPERIMENTS = {
    "linear": {"train": ("head",)},
    "mlp": {"train": ("head",), "head": {"hidden": (8,), "dropout": (0.5,)}},
    "svm": {"train": ("head",), "head": {"kind": "svm"}, "epochs": 1},
    "last": {"train": ("head", "conv5_x")},
    "all": {"train": ("all",)},
}


def run(
    faces: FaceSet, params: Params, folder: Path, compute: Compute, recipe: str, name: str
) -> TrainingResult:
    settings = {"epochs": 2} | EXPERIMENTS[name]
    recipes = params.recipes
    job = make_job(faces, params, recipes[recipe], folder, name=name, compute=compute, **settings)
    return run_job(job, lambda _epoch: None)


def figures(epoch: Epoch) -> Epoch:
    """Without times, which differ."""
    return replace(epoch, seconds=0, images_per_second=0)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", EXPERIMENTS)
@pytest.mark.parametrize("recipe", ["tuned", "reference"])
def test_every_way_of_fitting_gives_the_same_bits_twice_and_on_a_gpu_nearly_the_processors_loss(
    device: str, name: str, recipe: str, faces: FaceSet, params: Params, tmp_path: Path
) -> None:
    fitted = run(faces, params, tmp_path / "one", resolve(device, "float32"), recipe, name)
    again = run(faces, params, tmp_path / "two", resolve(device, "float32"), recipe, name)
    assert list(map(figures, fitted.history)) == list(map(figures, again.history))
    assert fitted.state.keys() == again.state.keys()
    assert all(torch.equal(tensor, again.state[key]) for key, tensor in fitted.state.items())
    if device == "cpu":
        return
    expected = run(faces, params, tmp_path / "cpu", CPU32, recipe, name)
    first, cpu = fitted.history[0], expected.history[0]
    assert first.val_loss == pytest.approx(cpu.val_loss, rel=0.02)
    assert fitted.state.keys() == expected.state.keys()


@pytest.fixture
def switches() -> Iterator[tuple[Any, Any]]:
    """Those of matrices and of convolutions on a GPU, left as they were."""
    both = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [each.allow_tf32 for each in both]
    yield both
    for each, value in zip(both, before, strict=True):
        each.allow_tf32 = value


@pytest.mark.parametrize(("precision", "rounded"), [("float32", False), ("bfloat16", True)])
def test_a_gpu_rounds_what_it_multiplies_only_where_less_than_float32_is_asked_for(
    precision: str, rounded: bool, switches: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for each in switches:
        each.allow_tf32 = not rounded
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)  # all that is asked of a GPU
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    resolve("cuda", precision)
    assert [each.allow_tf32 for each in switches] == [rounded, rounded]


@pytest.mark.parametrize(
    ("files", "left"),
    [
        ({"memory.max": "1000\n", "memory.current": "300\n"}, 700),
        ({"memory.max": "1000", "memory.current": "1200"}, 0),
        ({"memory.max": "9", "memory.current": "8", "memory.stat": "anon 1\ninactive_file 5\n"}, 6),
        ({"memory.max": "max\n", "memory.current": "300\n"}, sys.maxsize),
        ({"memory/memory.limit_in_bytes": "50", "memory/memory.usage_in_bytes": "20"}, 30),
        ({"memory.max": "nonsense", "memory.current": "1"}, sys.maxsize),
        ({}, sys.maxsize),
    ],
)
def test_a_containers_limit_bounds_the_memory(
    tmp_path: Path, files: dict[str, str], left: int
) -> None:
    (tmp_path / "memory").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert left_in_cgroup(tmp_path) == left


@pytest.mark.parametrize("left", [1000, sys.maxsize])
def test_free_is_what_the_machine_and_the_container_both_have(
    left: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "left_in_cgroup", lambda: left)
    free = Compute(torch.device("cpu"), torch.float32).free_memory()
    assert free == 1000 if left == 1000 else 1000 < free <= psutil.virtual_memory().total
