"""Lightning: the callback `BackboneFinetuning` with the network and optimizer of its documentation.

The head trains with Adam at 1e-3, the backbone from two thirds of the epochs on (by default from
the tenth, of fifteen), first at a tenth of the rate; flips; batches of 32; the last model.
"""

from __future__ import annotations

import logging
import math
import tempfile
import warnings
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import BackboneFinetuning
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader
from torchvision import datasets, models
from torchvision.transforms import v2

from benchmarks.peers.measure import (
    DEVIATION,
    EVALUATION_BATCH,
    MEAN,
    Measurement,
    arguments,
    load_backbone,
)


class Classifier(LightningModule):
    """A backbone, which the callback freezes and unfreezes, and a head."""

    def __init__(self, weights: Any, classes: int, measurement: Measurement) -> None:
        super().__init__()
        network = models.resnet18(weights=None)
        load_backbone(network, weights)
        self.backbone = nn.Sequential(*list(network.children())[:-1])
        self.head = nn.Sequential(
            nn.Flatten(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, classes)
        )
        self.measurement, self.right, self.images = measurement, 0, 0

    def training_step(self, batch: Any, _: int) -> Any:
        """The loss of a batch."""
        images, labels = batch
        return functional.cross_entropy(self.head(self.backbone(images)), labels)

    def validation_step(self, batch: Any, _: int) -> None:
        """Count what is right."""
        images, labels = batch
        found = self.head(self.backbone(images)).argmax(1)
        self.right, self.images = (
            self.right + int((found == labels).sum()),
            self.images + len(found),
        )

    test_step = validation_step

    def accuracy(self) -> float:
        """Of the images since the last call."""
        found, self.right, self.images = self.right / self.images, 0, 0
        return found

    def on_validation_epoch_end(self) -> None:
        """Training and validation of an epoch are over."""
        self.measurement.epoch(self.accuracy())

    def configure_optimizers(self) -> Any:
        """Of the head alone: the callback adds the backbone."""
        return torch.optim.Adam(self.head.parameters(), lr=1e-3)


def main() -> None:
    """Fine-tune and write the result."""
    options = arguments(str(__doc__), batch_size=32).parse_args()
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    seed_everything(options.seed, verbose=False)
    last = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, DEVIATION)]
    steps = [v2.Resize(options.size), *last]
    folders = {
        split: datasets.ImageFolder(
            options.images / split,
            v2.Compose([v2.RandomHorizontalFlip(), *steps] if split == "train" else steps),
            allow_empty=True,
        )
        for split in ("train", "val", "test")
    }
    training, validation, test = (
        DataLoader(
            images,
            options.batch_size if split == "train" else EVALUATION_BATCH,
            shuffle=split == "train",
            num_workers=options.workers,
        )
        for split, images in folders.items()
    )
    measurement = Measurement(options)
    network = Classifier(options.weights, len(folders["train"].classes), measurement)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            accelerator="cpu",
            max_epochs=options.epochs,
            precision="bf16-mixed" if options.precision == "bfloat16" else "32-true",
            callbacks=[BackboneFinetuning(math.ceil(options.epochs * 2 / 3))],
            default_root_dir=folder,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )
        measurement.start()
        trainer.fit(network, training, validation)
        measurement.stop()
        trainer.test(network, test, verbose=False)
    kept = len(measurement.history)
    measurement.write(network.accuracy(), kept, ("lightning", "torch", "torchvision"))


if __name__ == "__main__":
    main()
