"""The new classifier on top of the features: linear, or the MLP of ModelD."""

from __future__ import annotations

from torch import Generator, nn


def build_head(
    features: int, hidden: tuple[int, ...], dropout: tuple[float, ...], classes: int
) -> nn.Module:
    """Linear where `hidden` is empty; else Linear, Dropout, ReLU per width, then Linear.

    A rate of 0 leaves the Dropout module out, which gives the parameters the names the
    published system has (`fc.0 fc.2 fc.4` without dropout, `fc.0 fc.3 fc.6` with it).
    """
    if not hidden:
        return nn.Linear(features, classes)
    layers: list[nn.Module] = []
    width = features
    for units, rate in zip(hidden, dropout, strict=True):
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
