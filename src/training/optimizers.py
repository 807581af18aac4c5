"""Parameter groups and the optimizer over them.

Every parameter that trains is in exactly one group: its block's learning rate, and weight decay
only where it has more than one dimension, so never on norms or biases (as timm does).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from src.config import Recipe
from src.models.network import Network
from src.models.trainable import block_rates


def parameter_groups(network: Network, recipe: Recipe) -> list[dict[str, Any]]:
    """Groups for a torch optimizer, of the parameters that require gradients."""
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
    """The recipe's optimizer, in torch's fused form (one pass over parameters and state).

    It takes the parameters' gradients and drops them after the step, so that none needs zeroing.
    What it steps over are views in the order of memory: torch's fused step first copies every
    gradient that is channels-last, which takes twice as long as the step itself.
    """
    groups = parameter_groups(network, recipe)
    pairs: list[tuple[Tensor, Tensor]] = []
    for group in groups:
        views = [_in_memory_order(parameter.detach(), parameter) for parameter in group["params"]]
        pairs += zip(group["params"], views, strict=True)
        group["params"] = views
    optimizer = _optimizer(groups, recipe)

    def take(*_: Any) -> None:
        for parameter, view in pairs:
            if parameter.grad is not None:
                view.grad = _in_memory_order(parameter.grad, parameter).contiguous()

    def drop(*_: Any) -> None:
        for parameter, view in pairs:
            parameter.grad = view.grad = None

    optimizer.register_step_pre_hook(take)
    optimizer.register_step_post_hook(drop)
    return optimizer


def _optimizer(groups: list[dict[str, Any]], recipe: Recipe) -> Optimizer:
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, momentum=recipe.momentum, fused=True)
    if recipe.optimizer == "adam":
        return torch.optim.Adam(groups, fused=True)
    return torch.optim.AdamW(groups, fused=True)


def _in_memory_order(tensor: Tensor, parameter: Tensor) -> Tensor:
    """`tensor` with its dimensions in the order in which `parameter`'s lie in memory."""
    channels_last = parameter.ndim == 4 and not parameter.is_contiguous()
    return tensor.permute(0, 2, 3, 1) if channels_last else tensor


def set_rate(optimizer: Optimizer, factor: float) -> None:
    """Scale every group's learning rate from its peak."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * factor
