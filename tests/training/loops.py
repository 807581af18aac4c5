"""The loop on a small network: the reference recipe, a run of it, and what that changed.

And torchvision's own network, to hold it against.
"""

from __future__ import annotations

from dataclasses import replace

import torch
import torchvision
from torch import nn

from src.config import Recipe
from src.data.faceset import FaceSet, Split
from src.models.network import ModelSpec, Network
from src.training.checkpoint import Checkpoint
from src.training.engine import run_job
from src.training.inputs import ImageInputs
from src.training.job import TrainingJob
from src.training.loop import Examples, Plan, train
from src.training.result import Epoch, TrainingResult
from tests.training.conftest import CPU32

REFERENCE = Recipe(
    optimizer="adam",
    learning_rate=0.001,
    batchnorm="adapt",
    normalize=False,
    flip=False,
    select="last",
)


def examples(faces: FaceSet, spec: ModelSpec) -> tuple[Examples, Examples]:
    training, validation = (
        Examples(ImageInputs(images, spec), labels)
        for images, labels in map(faces.part, (Split.train, Split.val))
    )
    return training, validation


def run(
    network: Network, plan: Plan, faces: FaceSet, spec: ModelSpec, point: Checkpoint | None = None
) -> tuple[Epoch, ...]:
    training, validation = examples(faces, spec)
    return train(network, plan, training, validation, CPU32, lambda _epoch: None, point)


def snapshot(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def changed(network: nn.Module, before: dict[str, torch.Tensor]) -> set[str]:
    return {n for n, tensor in network.state_dict().items() if not torch.equal(tensor, before[n])}


def torchvision_network(state: dict[str, torch.Tensor]) -> nn.Module:
    """torchvision's ResNet-18 of these weights, stem without strides, headless if they are."""
    with torch.device("meta"):  # to draw weights takes longer than to train them
        model = torchvision.models.resnet18(num_classes=3)
    model.conv1.stride = model.layer2[0].conv1.stride = (1, 1)
    model.layer2[0].downsample[0].stride = (1, 1)
    if "fc.weight" not in state:
        model.fc = nn.Identity()
    model.load_state_dict({name: each.clone() for name, each in state.items()}, assign=True)
    return model


def trained(job: TrainingJob) -> TrainingResult:
    """What the job trains to."""
    job.scratch.mkdir(exist_ok=True)
    return run_job(job, lambda _epoch: None)


def without_cache(job: TrainingJob) -> TrainingJob:
    """The job as one that runs the whole network in every epoch."""
    engine = job.params.engine.model_copy(update={"cache_prefix": False})
    return replace(job, params=job.params.model_copy(update={"engine": engine}))
