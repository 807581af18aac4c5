"""What `test_distributed.py` starts with torchrun: trains, and leaves what came of it in a folder.

One start for all of its tests, since each takes seconds. Importing torch takes most of them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from src.config import Augment, Experiment, Params, Recipe, load_params
from src.data.faceset import FaceSet
from src.models.weights import random_weights
from src.tensors import save_tensors
from src.training.device import Compute
from src.training.engine import run_seeds
from src.training.inputs import Activations, ImageInputs
from src.training.job import StartingPoint, TrainingJob
from src.training.networks import Frozen
from src.training.norms import share_norms
from src.training.ranks import Ranks
from src.training.result import TrainingResult
from src.training.untrained import Untrained
from tests.shipped import SHIPPED
from tests.training.conftest import CPU32

BACKBONE = "mobilenet_v3_small"
TOP = ("head", *(f"features.{number}" for number in range(9, 13)))
CROPS = Augment(random_resized_crop=True, brightness=0.2)
# Of an experiment and of a recipe. 25 training images: of the batches of 8 the last has one image.
# By gradient descent, as Adam takes steps of one size also where the gradient is mere rounding.
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "a cached prefix": (
        {"train": TOP, "epochs": 4},
        {
            **{"unfreeze_at": {"base": 3}, "flip_test": True},
            **{"optimizer": "sgd", "learning_rate": 0.05},
        },
    ),
    "blocks frozen again": (
        {"train": TOP, "epochs": 4},
        {"freeze_at": {"base": 3}, "optimizer": "sgd", "learning_rate": 0.05},
    ),
    "batch statistics everywhere": (
        {"train": ("all",), "batch_size": 9},
        {"batchnorm": "adapt", "augment": CROPS, "optimizer": "sgd", "learning_rate": 0.01},
    ),
    "two seeds": (
        {"train": TOP},
        {"batchnorm": "recalibrate", "optimizer": "sgd", "learning_rate": 0.05},
    ),
}
SHARES = (3, 0, 2)  # images of the first of two ranks in a batch of 3


def job_of(params: Params, case: str, folder: Path, compute: Compute) -> TrainingJob:
    """The job of one of CASES."""
    experiment, changes = CASES[case]
    recipe = Recipe(
        optimizer="adamw",
        learning_rate=0.001,
        weight_decay=0.1,
        label_smoothing=0.1,
        schedule="onecycle",
        batchnorm="freeze",
        normalize=False,
        flip=True,
        select="best",
    ).model_copy(update=changes)
    model = params.model.model_copy(update={"backbone": BACKBONE})
    own = params.model_copy(update={"model": model, "recipe": "own", "recipes": {"own": recipe}})
    start = StartingPoint(uneven_faces(), random_weights(BACKBONE, 1), "faces", "source")
    entry = Experiment.model_validate({"batch_size": 8, "epochs": 2} | experiment)
    return TrainingJob.of("one", own, start, folder, experiment=entry, compute=compute)


def seeds(case: str) -> tuple[int, ...]:
    """Those that a case trains with."""
    return (3, 4) if case == "two seeds" else (0,)


def uneven_faces() -> FaceSet:
    """Three subjects told apart by colour, of which two ranks have unequal numbers of images."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 120, (43, 3, 32, 32), generator=generator, dtype=torch.uint8)
    labels = torch.arange(43) % 3
    images[torch.arange(43), labels] += 60
    split = torch.tensor([0] * 25 + [1] * 13 + [2] * 5, dtype=torch.uint8)
    return FaceSet(images, labels, split, ("ann", "bob", "cyd"))


def norm_example(share: slice, ranks: Ranks) -> Iterator[Tensor]:
    """Output, statistics and gradients of a norm in float64 for some of three images."""
    generator = torch.Generator().manual_seed(0)
    draw = {"generator": generator, "dtype": torch.float64}
    values, target = torch.randn(3, 4, 2, 2, **draw) * 5 + 100, torch.randn(3, 4, 2, 2, **draw)
    norm = nn.BatchNorm2d(4).double()
    with torch.no_grad():
        norm.weight.copy_(torch.randn(4, **draw))
    share_norms(norm, ranks)
    own = values[share].requires_grad_()
    output = norm(own)
    (output * target[share]).sum().backward()
    gradients = [norm.weight.grad, norm.bias.grad]
    ranks.add(gradients)
    yield from (output.detach(), own.grad, norm.running_mean, norm.running_var, *gradients)


def lone_value(ranks: Ranks) -> str:
    """What a norm says of one image of one pixel, which the first rank has."""
    norm = nn.BatchNorm2d(4)
    share_norms(norm, ranks)
    try:
        norm(torch.ones(int(ranks.first), 4, 1, 1))
    except ValueError as error:
        return str(error)
    return f"nothing, and the variance is {norm.running_var}"


def held(job: TrainingJob) -> list[int]:
    """Rows and bytes of the training inputs that this rank holds."""
    training = Frozen.of(Untrained.of(job)).training
    inputs = training.cached[0] if training.cached else training.inputs
    assert isinstance(inputs, (Activations, ImageInputs))
    kept = inputs.values if isinstance(inputs, Activations) else inputs.images
    return [len(inputs), kept[:].nbytes]


def tensors_of(results: tuple[TrainingResult, ...]) -> dict[str, Tensor]:
    """Weights, scores of epochs and temperature of each seed."""
    found = {}
    for number, result in enumerate(results):
        found |= {f"{number}:{name}": tensor for name, tensor in result.state.items()}
        keys = ("train_loss", "train_accuracy", "val_loss", "val_accuracy")
        scores = [[getattr(epoch, key) for key in keys] for epoch in result.history]
        found[f"{number}:scores"] = torch.tensor(scores)
        found[f"{number}:temperature"] = torch.tensor(result.spec.temperature)
    return found


def main(folder: Path) -> None:
    """Train the cases on the ranks that torchrun started."""
    ranks, params = Ranks.launched(), load_params(SHIPPED / "params.yaml")
    with ranks.joined():
        compute = replace(CPU32, ranks=ranks)
        for case in CASES:
            job = job_of(params, case, folder / f"scratch{ranks.number}", compute)
            results = run_seeds(job, seeds(case), lambda *_: None)
            name = f"{case}.{ranks.number}"
            save_tensors(folder / f"{name}.safetensors", tensors_of(results))
            (folder / f"{name}.json").write_text(json.dumps(held(job)))
        for share in SHARES:
            own = slice(share) if ranks.first else slice(share, None)
            found = {str(n): each for n, each in enumerate(norm_example(own, ranks))}
            save_tensors(folder / f"norm{share}.{ranks.number}.safetensors", found)
        (folder / f"lone.{ranks.number}.txt").write_text(lone_value(ranks))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
