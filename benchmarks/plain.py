"""The plain loop that the engine is compared with, written as in PyTorch's tutorials.

Images in folders, ImageFolder, a DataLoader with two to eight workers, float32, the whole network
on every image of every epoch, torch's convolutions, torch.optim on what is not frozen. Same
recipe, epochs and split; and the engine's setting of malloc, as they share a process.
`Terms` grants it what many would write by themselves: autocast, and frozen outputs computed once.
"""

from __future__ import annotations

import math
import os
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader

from benchmarks.outputs import Batches, StoredOutputs
from benchmarks.torch_defaults import as_torch_is
from src.data.faceset import FaceSet, Split
from src.errors import ConfigError
from src.models.imports import without_dynamo
from src.models.trainable import frozen_prefix, trained_blocks, training_mode, unfreeze
from src.training.device import Compute
from src.training.job import TrainingJob
from src.training.optimizers import parameter_groups, set_rate
from src.training.result import selection_key
from src.training.schedules import factor

WORKERS = max(2, min(8, (os.cpu_count() or 1) // 2))  # more, and a GPU waits for them no less
EVALUATION_BATCH = 128
OPTIMIZERS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}


@dataclass(frozen=True)
class Terms:
    """What the plain loop is granted.

    dtype: of matrix products and convolutions, by autocast. cached: whether outputs of the frozen
    prefix are computed once, within the first epoch's time, instead of in every epoch. tf32:
    whether a GPU may round the factors of float32 products to TF32; by default those of
    convolutions alone, as torch has it.
    """

    dtype: torch.dtype = torch.float32
    cached: bool = False
    tf32: bool | None = None


TUTORIAL = Terms()


@dataclass(frozen=True)
class PlainRun:
    """Wall-clock seconds of each timed epoch, validation included, and test accuracy.

    accuracy: None where the run did not reach its last epoch.
    """

    epoch_seconds: tuple[float, ...]
    accuracy: float | None

    def seconds(self, epochs: int) -> float:
        """Seconds of `epochs` epochs. The first, which starts the loader's workers, counts once."""
        if not epochs:
            return 0.0
        first, *others = self.epoch_seconds
        return first + (epochs - 1) * statistics.mean(others) if others else epochs * first


def train_plain(
    job: TrainingJob, folder: Path, epochs: int, terms: Terms = TUTORIAL, *, finish: bool = True
) -> PlainRun:
    """Time the experiment's first `epochs` epochs, then train the rest by a shortcut.

    The shortcut gives the final accuracy, not its time: the same loop runs, in the same dtype, over
    the stored outputs of the network's frozen prefix, which every epoch would compute again. Where
    nothing is frozen there is no such shortcut, and the accuracy is None. Raises ConfigError for
    an experiment that the plain loop cannot train on these terms.
    """
    check_comparable(job, terms)
    torch.manual_seed(job.params.seed)
    with without_dynamo(), as_torch_is(terms.tf32):
        loop = PlainLoop(job, terms.dtype)
        training, validation = (loader(job, folder, split) for split in (Split.train, Split.val))

        @cache
        def stored() -> OutputsBySplit:
            return prefix_outputs(job, folder, Split.train, Split.val, dtype=terms.dtype)

        seconds = []
        started = time.perf_counter()
        for _ in range(epochs):
            if terms.cached:
                loop.train_on_outputs(1, stored())
            else:
                loop.epoch(training, validation)
            ended = time.perf_counter()
            seconds.append(ended - started)
            started = ended
        rest = job.experiment.epochs - epochs
        if rest and not (finish and loop.frozen):
            return PlainRun(tuple(seconds), None)
        if rest:
            loop.train_on_outputs(rest, stored())
        return PlainRun(tuple(seconds), loop.best_accuracy(loader(job, folder, Split.test)))


def train_on_outputs(job: TrainingJob, outputs: OutputsBySplit) -> float:
    """Test accuracy of the whole run over the prefix's outputs, which no seed changes."""
    torch.manual_seed(job.params.seed)
    with without_dynamo(), as_torch_is():
        loop = PlainLoop(job)
        loop.train_on_outputs(job.experiment.epochs, outputs)
        return loop.best_accuracy(outputs[Split.test].batches(EVALUATION_BATCH), loop.frozen)


def check_comparable(job: TrainingJob, terms: Terms = TUTORIAL) -> None:
    """Raise ConfigError where the recipe, the head or the terms need what this loop lacks."""
    recipe = job.recipe
    extras = {
        "random crops or jitter": recipe.augment.random,
        "gradual unfreezing": recipe.unfreeze_at,
        "freezing on the way": recipe.freeze_at,
        "patience": recipe.patience,
        "mixup": recipe.mixup,
        "flipped images in answers": recipe.flip_test,
        "recalibrated BatchNorm": recipe.batchnorm == "recalibrate",
        f"a {job.experiment.head.kind} head": job.experiment.head.kind != "mlp",
    }
    for extra, asked in extras.items():
        if asked:
            raise ConfigError(
                f"params.yaml: experiments.{job.name}",
                f"the plain loop does not support {extra}, so there is nothing to compare with",
                "choose another recipe or another experiment",
            )
    if terms.cached and not PlainLoop(job).frozen:
        raise ConfigError(
            f"params.yaml: experiments.{job.name}",
            "nothing in it is frozen, so the plain loop has nothing to cache",
            "choose another experiment, or leave out --plain-cached",
        )


def write_folders(faces: FaceSet, folder: Path) -> None:
    """The packed faces as PNG files, `SPLIT/SUBJECT/NUMBER.png`; a folder for every subject."""
    for split in Split:
        subjects = [folder / split.name / f"{label:04d}" for label in range(len(faces.subjects))]
        for subject in subjects:
            subject.mkdir(parents=True, exist_ok=True)
        for row in faces.rows(split).tolist():
            path = subjects[int(faces.labels[row])] / f"{row:06d}.png"
            Image.fromarray(faces.images[row].permute(1, 2, 0).numpy()).save(path)


def loader(
    job: TrainingJob, folder: Path, split: Split, *, as_stored: bool = False
) -> DataLoader[tuple[Tensor, Tensor]]:
    """Batches of one split, shuffled and flipped for training unless `as_stored`."""
    with without_dynamo():
        from torchvision import datasets, transforms

    spec, training = job.spec(), split is Split.train and not as_stored
    steps = [transforms.CenterCrop(spec.crop)] if spec.crop else []
    steps += [transforms.RandomHorizontalFlip()] if training and job.recipe.flip else []
    steps += [transforms.ToTensor(), transforms.Normalize(spec.mean, spec.deviation)]
    images = datasets.ImageFolder(folder / split.name, transforms.Compose(steps), allow_empty=True)
    return DataLoader(
        images,
        batch_size=job.experiment.batch_size if training else EVALUATION_BATCH,
        shuffle=training,
        num_workers=WORKERS,
        persistent_workers=True,
        pin_memory=job.compute.device.type == "cuda",
    )


OutputsBySplit = Mapping[Split, StoredOutputs]


@torch.no_grad()
def prefix_outputs(
    job: TrainingJob, folder: Path, *splits: Split, dtype: torch.dtype = torch.float32
) -> OutputsBySplit:
    """Outputs of the frozen prefix for every image, and for its mirror image in training."""
    loop, device = PlainLoop(job, dtype), job.compute.device
    loop.network.eval()
    found = {}
    for split in splits:
        outputs, labels = [], []
        for images, named in loader(job, folder, split, as_stored=True):
            flips = [images.flip(3)] if split is Split.train and job.recipe.flip else []
            with loop.compute.autocast():
                run = [
                    loop.network.run(view.to(device), 0, loop.frozen) for view in (images, *flips)
                ]
            outputs.append(torch.stack(run, 1))
            labels.append(named)
        found[split] = StoredOutputs(torch.cat(outputs), torch.cat(labels).to(device))
    return found


class PlainLoop:
    """A network and its optimizer; the first `frozen` blocks never change."""

    def __init__(self, job: TrainingJob, dtype: torch.dtype = torch.float32) -> None:
        recipe = job.recipe
        self.compute = Compute(job.compute.device, dtype)
        self.job, self.device = job, job.compute.device
        self.network = job.network().to(memory_format=torch.contiguous_format)
        for module in self.network.modules():
            if isinstance(module, nn.Conv2d):  # of which the engine makes faster ones
                module.__class__ = nn.Conv2d
        self.trained = trained_blocks(self.network, job.experiment.train, recipe)
        unfreeze(self.network, self.trained, recipe.batchnorm)
        self.frozen = frozen_prefix(self.network, self.trained, recipe.batchnorm)
        groups = parameter_groups(self.network, recipe)
        extra = {"momentum": recipe.momentum} if recipe.optimizer == "sgd" else {}
        self.optimizer = OPTIMIZERS[recipe.optimizer](groups, lr=recipe.learning_rate, **extra)
        self.criterion = nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
        self.step, self.best_key = 0, (-math.inf, -math.inf)
        self.best_state: dict[str, Tensor] = {}

    def epoch(self, training: Batches, validation: Batches, start: int = 0) -> None:
        """Train on every batch, then validate; batches go into block `start`."""
        recipe = self.job.recipe
        training_mode(self.network, self.trained, recipe.batchnorm)
        for inputs, labels in training:
            rate = factor(recipe, self.step, len(training), self.job.experiment.epochs)
            set_rate(self.optimizer, rate)
            with self.compute.autocast():
                logits = self.network(inputs.to(self.device), start)
                loss = self.criterion(logits, labels.to(self.device))
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self.step += 1
        found = selection_key(*self._evaluate(validation, start, self.compute))
        if not self.best_state or found > self.best_key or recipe.select == "last":
            self.best_key = found
            self.best_state = {
                name: value.clone() for name, value in self.network.state_dict().items()
            }

    def train_on_outputs(self, epochs: int, outputs: OutputsBySplit) -> None:
        """Train the same epochs on the frozen prefix's outputs."""
        size = self.job.experiment.batch_size
        training = outputs[Split.train].batches(size, shuffle=True)
        validation = outputs[Split.val].batches(EVALUATION_BATCH)
        for _ in range(epochs):
            self.epoch(training, validation, self.frozen)

    def best_accuracy(self, test: Batches, start: int = 0) -> float:
        """Test accuracy of the epoch that validation chose; batches go into block `start`.

        In float32 whatever the loop trains in, as the engine's is.
        """
        self.network.load_state_dict(self.best_state)
        return self._evaluate(test, start, Compute(self.device, torch.float32))[0]

    @torch.no_grad()
    def _evaluate(self, batches: Batches, start: int, compute: Compute) -> tuple[float, float]:
        """Accuracy and mean cross-entropy."""
        self.network.eval()
        right = images = 0
        loss = 0.0
        for inputs, labels in batches:
            with compute.autocast():
                logits = self.network(inputs.to(self.device), start)
            logits, labels = logits.float().cpu(), labels.cpu()  # noqa: PLW2901
            loss += functional.cross_entropy(logits, labels, reduction="sum").item()
            right += int((logits.argmax(1) == labels).sum())
            images += len(labels)
        return right / images, loss / images
