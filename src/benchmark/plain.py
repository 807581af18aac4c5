"""The plain loop: what a careful person writes after PyTorch's tutorials.

Pictures in folders, ImageFolder, a DataLoader with workers, float32, the whole network on every
image of every epoch, torch.optim on what is not frozen. Same recipe, same epochs, same split.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader

from src.data.faceset import FaceSet, Split
from src.models.imports import without_dynamo
from src.models.network import Network
from src.models.trainable import training_mode, unfreeze
from src.training.fit import Fit
from src.training.optimizers import parameter_groups, set_rate, trained_blocks
from src.training.schedules import factor

WORKERS = 2
OPTIMIZERS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}


@dataclass(frozen=True)
class PlainRun:
    """Wall seconds of each epoch, validation included, and test accuracy at the end."""

    epoch_seconds: tuple[float, ...]
    accuracy: float


def write_folders(faces: FaceSet, folder: Path) -> None:
    """The packed faces as PNG files, `SPLIT/SUBJECT/NUMBER.png`."""
    for split in Split:
        for row in faces.rows(split).tolist():
            subject = f"{int(faces.labels[row]):04d}"
            path = folder / split.name / subject / f"{row:06d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(faces.images[row].permute(1, 2, 0).numpy()).save(path)


def loader(work: Fit, folder: Path, split: Split) -> DataLoader[tuple[Tensor, Tensor]]:
    """Batches of one split, shuffled and flipped for training."""
    with without_dynamo():
        from torchvision import datasets, transforms

    spec, training = work.spec(), split is Split.train
    steps = [transforms.RandomHorizontalFlip()] if training and work.recipe.flip else []
    steps += [transforms.ToTensor(), transforms.Normalize(spec.mean, spec.deviation)]
    return DataLoader(
        datasets.ImageFolder(folder / split.name, transforms.Compose(steps)),
        batch_size=work.experiment.batch_size if training else 128,
        shuffle=training,
        num_workers=WORKERS,
        persistent_workers=True,
        pin_memory=work.compute.device.type == "cuda",
    )


def train_plainly(work: Fit, folder: Path, epochs: int) -> PlainRun:
    """Train the experiment's first `epochs` epochs, on schedule for all of them."""
    torch.manual_seed(work.params.seed)
    device, recipe = work.compute.device, work.recipe
    network = work.network().to(memory_format=torch.contiguous_format)
    trained = trained_blocks(network, work.experiment.train, recipe)
    unfreeze(network, trained, recipe.batchnorm)
    groups = parameter_groups(network, recipe)
    extra = {"momentum": recipe.momentum} if recipe.optimizer == "sgd" else {}
    with without_dynamo():
        optimizer = OPTIMIZERS[recipe.optimizer](groups, lr=recipe.learning_rate, **extra)
        batches = loader(work, folder, Split.train)
        validation = loader(work, folder, Split.val)
        criterion = nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
        seconds = []
        step = 0
        best, kept = -1.0, {}
        for _ in range(epochs):
            started = time.perf_counter()
            training_mode(network, trained, recipe.batchnorm)
            for images, labels in batches:
                rate = factor(recipe, step, len(batches), work.experiment.epochs)
                set_rate(optimizer, rate)
                loss = criterion(network(images.to(device)), labels.to(device))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                step += 1
            accuracy = _accuracy(network, validation, device)
            if accuracy > best or recipe.select == "last":
                best = accuracy
                kept = {name: tensor.clone() for name, tensor in network.state_dict().items()}
            seconds.append(time.perf_counter() - started)
    network.load_state_dict(kept)
    return PlainRun(tuple(seconds), _accuracy(network, loader(work, folder, Split.test), device))


@torch.no_grad()
def _accuracy(
    network: Network, batches: DataLoader[tuple[Tensor, Tensor]], device: torch.device
) -> float:
    network.eval()
    right = images = 0
    for pixels, labels in batches:
        right += int((network(pixels.to(device)).argmax(1).cpu() == labels).sum())
        images += len(labels)
    return right / images
