"""No step of an epoch waits for the host: a GPU runs ahead until the epoch's sums are read."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from src.config import Experiment, Params
from src.data.faceset import FaceSet
from src.models.weights import random_weights
from src.training.engine import run_job
from src.training.job import StartingPoint, TrainingJob

IMAGES = 24  # of the fixture `faces`, for training
WAITS = {
    torch.ops.aten._local_scalar_dense.default,  # item(), tolist(), bool()
    torch.ops.aten.nonzero.default,  # as many rows as a condition holds for
    torch.ops.aten.lift_fresh.default,  # torch.tensor(...): a copy from the host
}
EXPERIMENTS = {
    "linear": {"train": ("head",)},
    "mlp": {"train": ("head",), "head": {"hidden": (8, 8), "dropout": (0.5, 0.2)}},
    "last": {"train": ("head", "conv5_x")},
    "all": {"train": ("all",)},
}


class Waits(TorchDispatchMode):
    """Counts the operations that would make a GPU and its host wait for each other."""

    count = 0

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        self.count += function in WAITS
        return function(*args, **(kwargs or {}))


@pytest.fixture
def fit_in(
    faces: FaceSet, params: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str, str, int, str], None]:
    """Train one epoch of an experiment in so many steps, without what follows the last."""
    # A search, whose steps depend on the logits that it is given.
    monkeypatch.setattr("src.training.untrained.fit_temperature", lambda *_: 1.0)
    starting_point = StartingPoint(faces, random_weights("resnet18", 1), "faces", "source")

    def train(name: str, recipe: str, steps: int, device: str) -> None:
        settings = {"batch_size": IMAGES // steps, "epochs": 1, "recipe": recipe}
        experiment = Experiment.model_validate(settings | EXPERIMENTS[name])
        engine = params.engine.model_copy(update={"device": device, "precision": "float32"})
        own = params.model_copy(update={"engine": engine, "experiments": {name: experiment}})
        job = TrainingJob.of(name, own, starting_point, tmp_path / f"{recipe}-{steps}")
        run_job(job, lambda _epoch: None)

    return train


def test_what_makes_a_gpu_wait_is_counted() -> None:
    with Waits() as waits:
        torch.ones(3).sum().item()
        torch.tensor([1.0])
        torch.ones(3).nonzero()
    assert waits.count == 3


@pytest.mark.parametrize("recipe", ["tuned", "reference"])
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_epoch_of_more_steps_waits_no_more_often(
    name: str, recipe: str, fit_in: Callable[[str, str, int, str], None]
) -> None:
    fit_in(name, recipe, 2, "cpu")  # whatever is done once in a process
    counts = []
    for steps in (3, 6):
        with Waits() as waits:
            fit_in(name, recipe, steps, "cpu")
        counts.append(waits.count)
    assert counts[0] == counts[1]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is here")
@pytest.mark.parametrize("recipe", ["tuned", "reference"])
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_cuda_itself_sees_no_more_synchronisation_in_more_steps(
    name: str, recipe: str, fit_in: Callable[[str, str, int, str], None]
) -> None:
    fit_in(name, recipe, 2, "cuda")
    counts = []
    torch.cuda.set_sync_debug_mode("warn")
    try:
        for steps in (3, 6):
            with warnings.catch_warnings(record=True) as seen:
                warnings.simplefilter("always")
                fit_in(name, recipe, steps, "cuda")
            counts.append(sum("synchroniz" in str(each.message) for each in seen))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert counts[0] == counts[1]
