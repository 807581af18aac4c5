"""The new classifier on top of the features: linear, the MLP of ModelD, or nearest neighbours."""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from src.config.head import Head


def build_head(head: Head, features: int, classes: int, stored: int = 0) -> nn.Module:
    """The module that turns (N, `features`) into (N, `classes`) logits.

    `stored` is how many training images nearest neighbours keep. An MLP is linear without hidden
    layers; else Linear, Dropout, ReLU per hidden layer, then Linear. A dropout rate of 0 leaves
    the Dropout module out, which gives the parameters the names the published system has
    (`fc.0 fc.2 fc.4` without dropout, `fc.0 fc.3 fc.6` with it).
    """
    if head.kind == "knn":
        return NeighbourHead(features, classes, stored)
    if not head.hidden:
        return nn.Linear(features, classes)
    layers: list[nn.Module] = []
    width = features
    for units, rate in zip(head.hidden, head.rates, strict=True):
        layers.append(nn.Linear(width, units))
        if rate:
            layers.append(nn.Dropout(rate))
        layers.append(nn.ReLU())
        width = units
    layers.append(nn.Linear(width, classes))
    return nn.Sequential(*layers)


def initialize_head(head: nn.Module, generator: Generator, init: str = "default") -> None:
    """torch's own default for Linear (uniform within 1/sqrt(fan in)), from an explicit generator.

    The default is Kaiming's uniform rule with a = sqrt(5) (He et al., 2015); drawn here so that
    a run depends on its seed alone and not on what drew before it. `xavier` is the uniform rule
    of Glorot and Bengio (2010), with biases of zero.
    """
    for layer in head.modules():
        if isinstance(layer, nn.Linear) and init == "xavier":
            nn.init.xavier_uniform_(layer.weight, generator=generator)
            nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.Linear):
            bound = layer.in_features**-0.5
            nn.init.uniform_(layer.weight, -bound, bound, generator=generator)
            nn.init.uniform_(layer.bias, -bound, bound, generator=generator)


class NeighbourHead(nn.Module):
    """k nearest neighbours (Cover and Hart, 1967) among stored training features.

    Distances are Euclidean, on features standardised by `mean` and `scale`. The logits are those
    of the shares of votes with one vote more spread over all classes, so that they are finite;
    of equals the first class is a little ahead, as in scikit-learn.
    """

    mean: Tensor
    scale: Tensor
    stored: Tensor
    labels: Tensor
    neighbours: Tensor

    def __init__(self, features: int, classes: int, stored: int) -> None:
        super().__init__()
        self.classes = classes
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("scale", torch.ones(features))
        self.register_buffer("stored", torch.zeros(stored, features))
        self.register_buffer("labels", torch.zeros(stored, dtype=torch.int64))
        self.register_buffer("neighbours", torch.ones((), dtype=torch.int64))

    @property
    def sound(self) -> bool:
        """Whether the stored labels, scales and number of neighbours can be what was fitted."""
        known = bool(((self.labels >= 0) & (self.labels < self.classes)).all())
        some = 1 <= int(self.neighbours) <= len(self.labels)
        return known and some and bool((self.scale > 0).all())

    def forward(self, features: Tensor) -> Tensor:
        """(N, features) to (N, classes)."""
        distances = torch.cdist((features.float() - self.mean) / self.scale, self.stored)
        nearest = distances.topk(int(self.neighbours), largest=False).indices
        votes = functional.one_hot(self.labels[nearest], self.classes).sum(1).float()
        first = torch.arange(self.classes, device=votes.device) * (1e-3 / self.classes)
        return (votes + 1 / self.classes).log() - first
