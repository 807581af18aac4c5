"""Weight changes by layer, from those of the parameters."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Mapping

from src.models.backbones import Backbone

HEAD = "head"


def convolutions(backbone: Backbone, stem: str) -> dict[str, tuple[str, ...]]:
    """Block to the paths of its convolutions, in order, and the head as one layer at the end."""
    from torch import nn

    from src.models.network import build_backbone

    layers = [
        path
        for path, module in build_backbone(backbone.name, stem).named_modules()
        if isinstance(module, nn.Conv2d)
    ]
    found = {
        block: tuple(path for path in layers if f"{path}.".startswith(prefixes))
        for block, paths in backbone.blocks.items()
        if (prefixes := tuple(f"{path}." for path in paths))
    }
    return {**found, HEAD: (HEAD,)}


def by_layer(change: Mapping[str, float], backbone: Backbone) -> dict[str, float]:
    """Layer to the L2 norm of its change, from the norm of each parameter's.

    The parameters of a layer (weight and bias; for the head, all of them) count as one vector,
    so the squares of their norms add up.
    """
    squares: defaultdict[str, float] = defaultdict(float)
    for parameter, norm in change.items():
        layer = parameter.rpartition(".")[0]
        squares[HEAD if parameter.startswith(f"{backbone.head}.") else layer] += norm**2
    return {layer: math.sqrt(square) for layer, square in squares.items()}


def moved_layers(
    changes: Mapping[str, Mapping[str, float]], layers: Collection[str], reference: str
) -> dict[str, dict[str, float]]:
    """The norms above 0 of the `layers` that each experiment moved.

    An experiment that moved nothing but its head is left out, except the reference.
    """
    moved = {
        name: {layer: norm for layer, norm in norms.items() if layer in layers and norm > 0}
        for name, norms in changes.items()
    }
    return {
        name: norms
        for name, norms in moved.items()
        if set(norms) - {HEAD} or (norms and name == reference)
    }
