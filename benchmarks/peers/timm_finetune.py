"""timm: the loop of its training script, written with its parts.

Its defaults for loading (random resized crops, flips, colour jitter), label smoothing of 0.1,
cosine schedule with warm-up; AdamW with a decay of the learning rate by layer; Mixup off.
Batches of 32: the script's 128 would make four steps an epoch of these images.
"""

from __future__ import annotations

import torch
from timm.data import create_dataset, create_loader
from timm.loss import LabelSmoothingCrossEntropy
from timm.models import create_model
from timm.optim import create_optimizer_v2
from timm.scheduler import create_scheduler_v2
from timm.utils import random_seed

from benchmarks.peers.measure import (
    EVALUATION_BATCH,
    NATIVE,
    Measurement,
    accuracy,
    arguments,
    autocast_of,
    load_backbone,
    train_epoch,
)


def main() -> None:
    """Fine-tune and write the result."""
    options = arguments(str(__doc__), batch_size=32).parse_args()
    random_seed(options.seed)
    datasets = {
        split: create_dataset("", root=options.images, split=split, is_training=split == "train")
        for split in ("train", "val", "test")
    }
    training, validation, test = (
        create_loader(
            dataset,
            input_size=(3, options.size, options.size),
            batch_size=options.batch_size if split == "train" else EVALUATION_BATCH,
            is_training=split == "train",
            interpolation="random" if split == "train" else "bilinear",
            crop_pct=1.0 if options.size == NATIVE else None,
            num_workers=options.workers,
            use_prefetcher=False,
            device=torch.device("cpu"),
        )
        for split, dataset in datasets.items()
    )
    classes = len(datasets["train"].reader.class_to_idx)
    network = create_model("resnet18", pretrained=False, num_classes=classes)
    load_backbone(network, options.weights)
    optimizer = create_optimizer_v2(
        network, opt="adamw", lr=5e-4, weight_decay=0.05, layer_decay=0.75
    )
    scheduler, epochs = create_scheduler_v2(
        optimizer, sched="cosine", num_epochs=options.epochs, warmup_epochs=1, warmup_lr=1e-5
    )
    criterion, autocast = LabelSmoothingCrossEntropy(0.1), autocast_of(options.precision)
    measurement = Measurement(options)
    measurement.start()
    for epoch in range(epochs):
        train_epoch(network, training, criterion, optimizer, autocast)
        measurement.epoch(accuracy(network, validation, autocast))
        scheduler.step(epoch + 1)
    measurement.stop()
    found = accuracy(network, test, autocast)
    measurement.write(found, epochs, ("timm", "torch", "torchvision"))


if __name__ == "__main__":
    main()
