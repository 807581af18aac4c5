"""Parameter groups and the optimiser over them.

Every parameter that trains is in exactly one group: its block's learning rate, and weight decay
only where it has more than one dimension, so never on norms or biases (as timm does).
"""

from __future__ import annotations

from typing import Any

import torch
from torch.optim import Optimizer

from src.config import Recipe
from src.models.network import Network
from src.models.trainable import resolve_blocks


def trained_blocks(network: Network, train: tuple[str, ...], recipe: Recipe) -> frozenset[str]:
    """The blocks that train: those asked for, less those whose learning rate is 0."""
    rates = block_rates(network, recipe)
    return frozenset(name for name in resolve_blocks(network, train) if rates[name] > 0)


def block_rates(network: Network, recipe: Recipe) -> dict[str, float]:
    """The learning rate of each block: rate x multiplier x layer decay per block below the head.

    The multiplier `base` is that of every block under the head which has none of its own.
    Layer-wise decay: Howard and Ruder, 2018 (ULMFiT's discriminative fine-tuning).
    """
    depth = len(network.blocks)
    factors = dict.fromkeys(network.blocks, recipe.multipliers.get("base", 1.0))
    factors |= recipe.multipliers
    return {
        name: recipe.learning_rate * factors.get(name, 1.0) * recipe.layer_decay ** (depth - index)
        for index, name in enumerate((*network.blocks, "head"))
    }


def parameter_groups(network: Network, recipe: Recipe) -> list[dict[str, Any]]:
    """Groups for a torch optimiser, of the parameters that require gradients."""
    groups: list[dict[str, Any]] = []
    for name, rate in block_rates(network, recipe).items():
        parameters = [p for module in network.block(name) for p in module.parameters()]
        trained = [p for p in parameters if p.requires_grad]
        for decays in (True, False):
            members = [p for p in trained if (p.ndim > 1) == decays]
            if members:
                decay = recipe.weight_decay if decays else 0.0
                groups.append({"params": members, "lr": rate, "peak": rate, "weight_decay": decay})
    return groups


def build_optimizer(network: Network, recipe: Recipe) -> Optimizer:
    """The recipe's optimiser, in torch's fused form (one pass over parameters and state)."""
    groups = parameter_groups(network, recipe)
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, momentum=recipe.momentum, fused=True)
    if recipe.optimizer == "adam":
        return torch.optim.Adam(groups, fused=True)
    return torch.optim.AdamW(groups, fused=True)


def set_rate(optimizer: Optimizer, factor: float) -> None:
    """Scale every group's learning rate from its peak."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * factor
