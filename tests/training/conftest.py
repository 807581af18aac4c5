"""Small problems that every training test can afford."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor

from src.config import Experiment, Head, Params, Recipe, load_params
from src.data.faceset import FaceSet
from src.models.network import ModelSpec, Network
from src.models.weights import random_weights
from src.training.device import Compute
from src.training.head_task import HeadTask
from src.training.job import StartingPoint, TrainingJob
from tests.shipped import SHIPPED

CPU32 = Compute(torch.device("cpu"), torch.float32)
CLASSES, WIDTH = 5, 24  # of blobs


@pytest.fixture(scope="session")
def params() -> Params:
    return load_params(SHIPPED / "params.yaml")


def make_job(
    faces: FaceSet,
    params: Params,
    recipe: Recipe,
    scratch: Path,
    *,
    name: str = "one",
    compute: Compute = CPU32,
    **experiment: object,
) -> TrainingJob:
    """A job on random source weights; `experiment` holds the keys of an entry of params.yaml."""
    entry = Experiment.model_validate({"batch_size": 8} | experiment)
    return TrainingJob(
        starting_point=StartingPoint(faces, random_weights("resnet18", 1), "faces", "source"),
        experiment=entry,
        recipe=entry.adapted(recipe),
        params=params,
        compute=compute,
        scratch=scratch,
        name=name,
        seed=params.seed,
    )


@pytest.fixture
def recipe() -> Recipe:
    return Recipe(
        optimizer="adamw",
        learning_rate=0.01,
        weight_decay=0.1,
        label_smoothing=0.1,
        schedule="onecycle",
        batchnorm="freeze",
        normalize=False,
        flip=True,
        select="best",
    )


@pytest.fixture
def faces() -> FaceSet:
    """Three subjects, told apart by the colour of noise: 8 training, 4 validation, 2 test each."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 120, (42, 3, 16, 16), generator=generator, dtype=torch.uint8)
    labels = torch.arange(3).repeat_interleave(14)
    images[torch.arange(42), labels] += 60
    split = torch.tensor([0] * 8 + [1] * 4 + [2] * 2, dtype=torch.uint8).repeat(3)
    return FaceSet(images, labels, split, ("ann", "bob", "cyd"))


@pytest.fixture
def spec() -> ModelSpec:
    return ModelSpec(
        backbone="resnet18", stem="stride1", image_size=16, subjects=("ann", "bob", "cyd")
    )


@pytest.fixture
def network(spec: ModelSpec) -> Network:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Network(spec)
    for name, buffer in network.named_buffers():
        if name.endswith("running_var"):
            buffer.uniform_(0.5, 2, generator=torch.Generator().manual_seed(1))
        if name.endswith("running_mean"):
            buffer.uniform_(-0.1, 0.1, generator=torch.Generator().manual_seed(2))
    return network


@dataclass(frozen=True)
class Blobs:
    """Two views of Gaussian blobs, one per class, and as many for validation."""

    values: Tensor
    labels: Tensor
    val_values: Tensor
    val_labels: Tensor

    def training(self, _epoch: int) -> Tensor:
        return self.values

    def validation(self, _epoch: int) -> Tensor:
        return self.val_values


@pytest.fixture
def blobs() -> Blobs:
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(CLASSES, WIDTH, generator=generator)
    labels = torch.arange(70) % CLASSES
    val_labels = torch.arange(30) % CLASSES
    values = centres[labels] + torch.randn(2, 70, WIDTH, generator=generator)
    val_values = centres[val_labels] + torch.randn(30, WIDTH, generator=generator)
    return Blobs(values, labels, val_values, val_labels)


def tasks(recipe: Recipe) -> list[HeadTask]:
    def task(
        hidden: tuple[int, ...], dropout: tuple[float, ...], seed: int, rate: float
    ) -> HeadTask:
        own = recipe.model_copy(update={"learning_rate": rate, "select": "last"})
        head = Head(hidden=hidden, dropout=dropout)
        return HeadTask(head=head, recipe=own, epochs=4, batch_size=16, seed=seed)

    return [
        task((), (), 0, 0.01),
        task((32, 16), (0.0, 0.0), 0, 0.01),
        task((8, 40), (0.5, 0.2), 1, 0.003),
        task((32, 16), (0.3, 0.0), 2, 0.02),
        task((20,), (0.4,), 3, 0.01),
        task((9,), (0.0,), 3, 0.02),
        task((12, 10, 8), (0.1, 0.0, 0.6), 4, 0.01),
    ]
