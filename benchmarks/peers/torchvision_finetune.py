"""torchvision: its reference script's recipe, or that of PyTorch's tutorial on transfer learning.

`reference`: SGD with momentum 0.9, weight decay 1e-4 and a rate of 0.1 for batches of 256, so
0.0125 for 32, divided by ten after each third of the epochs; the last model. `tutorial`: batches of
4, a rate of 0.001, divided by ten every 7 epochs; the best model by validation. Both: random
resized crops and flips.
"""

from __future__ import annotations

import copy
import math

import torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision import datasets, models
from torchvision.transforms import v2

from benchmarks.peers.measure import (
    DEVIATION,
    EVALUATION_BATCH,
    MEAN,
    NATIVE,
    Measurement,
    accuracy,
    arguments,
    autocast_of,
    load_backbone,
    train_epoch,
)

BATCHES = {"reference": 32, "tutorial": 4}


def main() -> None:
    """Fine-tune and write the result."""
    options = arguments(str(__doc__), batch_size=None, recipes=tuple(BATCHES)).parse_args()
    options.batch_size = options.batch_size or BATCHES[options.recipe]
    tutorial = options.recipe == "tutorial"
    torch.manual_seed(options.seed)
    last = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, DEVIATION)]
    for_training = [v2.RandomResizedCrop(options.size), v2.RandomHorizontalFlip(), *last]
    resized = options.size if options.size == NATIVE else round(options.size * 256 / 224)
    for_evaluation = [v2.Resize(resized), v2.CenterCrop(options.size), *last]

    def loader(split: str) -> DataLoader[tuple[torch.Tensor, torch.Tensor]]:
        training = split == "train"
        transform = v2.Compose(for_training if training else for_evaluation)
        images = datasets.ImageFolder(options.images / split, transform, allow_empty=True)
        size = options.batch_size if training else EVALUATION_BATCH
        return DataLoader(images, size, shuffle=training, num_workers=options.workers)

    training, validation, test = map(loader, ("train", "val", "test"))
    network = models.resnet18(weights=None)
    load_backbone(network, options.weights)
    network.fc = nn.Linear(network.fc.in_features, len(training.dataset.classes))  # type: ignore[attr-defined]
    rate = 0.001 if tutorial else 0.1 * options.batch_size / 256
    optimizer = torch.optim.SGD(
        network.parameters(), lr=rate, momentum=0.9, weight_decay=0 if tutorial else 1e-4
    )
    every = 7 if tutorial else math.ceil(options.epochs / 3)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=every, gamma=0.1)
    criterion, autocast = nn.CrossEntropyLoss(), autocast_of(options.precision)
    best, kept, state = -1.0, 0, network.state_dict()
    measurement = Measurement(options)
    measurement.start()
    for epoch in range(1, options.epochs + 1):
        train_epoch(network, training, criterion, optimizer, autocast)
        scheduler.step()
        found = accuracy(network, validation, autocast)
        if not tutorial or found > best:
            best, kept = found, epoch
            state = copy.deepcopy(network.state_dict()) if tutorial else network.state_dict()
        measurement.epoch(found)
    network.load_state_dict(state)
    measurement.stop()
    measurement.write(accuracy(network, test, autocast), kept, ("torchvision", "torch"))


if __name__ == "__main__":
    main()
