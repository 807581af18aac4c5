"""The parameters and optimizer state of several heads, as stacked and padded tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from src.config import Recipe
from src.training.dropout import thresholds
from src.training.head_task import HeadTask

BETAS, EPSILON = (0.9, 0.999), 1e-8  # Adam's (Kingma and Ba, 2015), torch's defaults


@dataclass
class StackedHeads:
    """Layer l of all H heads: weight (H, in, out) and bias (H, 1, out), zeros where padded.

    `below` and `scales` are, per hidden layer, dropout's thresholds (H, 1, 1), or None where no
    head drops anything, and 1 / (1 - rate) (H, 1, 1). `moments` are the optimizer's, per tensor;
    `count` is its number of steps, on the device, so that no step sends it there.
    """

    layers: list[tuple[Tensor, Tensor]]
    moments: list[list[Tensor]]
    below: list[Tensor | None]
    scales: list[Tensor]
    tasks: list[HeadTask]
    count: Tensor
    steps: int = 0

    @classmethod
    def of(
        cls, heads: list[nn.Module], tasks: list[HeadTask], device: torch.device
    ) -> StackedHeads:
        """Stack heads of one depth, each padded to the widest in every layer."""
        linears = [_linears(head) for head in heads]
        layers = []
        for layer in zip(*linears, strict=True):
            rows = max(linear.in_features for linear in layer)
            columns = max(linear.out_features for linear in layer)
            weight = torch.zeros(len(heads), rows, columns)
            bias = torch.zeros(len(heads), 1, columns)
            for slot, linear in enumerate(layer):
                weight[slot, : linear.in_features, : linear.out_features] = linear.weight.detach().T
                bias[slot, 0, : linear.out_features] = linear.bias.detach()
            layers.append((weight.to(device), bias.to(device)))
        below, scales = [], []
        for rates in zip(*(task.head.rates for task in tasks), strict=True):
            rate = torch.tensor(rates)
            below.append(thresholds(rate).to(device) if rate.any() else None)
            scales.append((1 / (1 - rate)).view(-1, 1, 1).to(device))
        tensors = [tensor for layer in layers for tensor in layer]
        moments = [[torch.zeros_like(tensor) for tensor in tensors] for _ in range(2)]
        return cls(layers, moments, below, scales, tasks, torch.zeros((), device=device))

    @property
    def tensors(self) -> list[Tensor]:
        """Weight, bias, weight, bias, from the first layer on."""
        return [tensor for layer in self.layers for tensor in layer]

    def state(self, slot: int, head: nn.Module) -> dict[str, Tensor]:
        """One head's parameters under the names of `head`, without the padding; copies."""
        names = [name for name, module in head.named_modules() if isinstance(module, nn.Linear)]
        state = {}
        for name, linear, (weight, bias) in zip(names, _linears(head), self.layers, strict=True):
            dot = f"{name}." if name else ""
            used = weight[slot, : linear.in_features, : linear.out_features]
            state[f"{dot}weight"] = used.T.contiguous().cpu().clone()
            state[f"{dot}bias"] = bias[slot, 0, : linear.out_features].cpu().clone()
        return state

    def select(self, slots: list[int]) -> StackedHeads:
        """Only the heads in `slots`, cut to the widest that is left in every layer."""
        tasks = [self.tasks[i] for i in slots]
        widths = [max(layer) for layer in zip(*(task.head.hidden for task in tasks), strict=True)]
        rows = [self.layers[0][0].shape[1], *widths]
        columns = [*widths, self.layers[-1][0].shape[2]]
        index = torch.tensor(slots, device=self.layers[0][0].device)

        def cut(tensor: Tensor, layer: int) -> Tensor:
            kept = tensor[index]
            used = kept if kept.shape[1] == 1 else kept[:, : rows[layer]]
            return used[..., : columns[layer]].contiguous()

        layers = [(cut(w, i), cut(b, i)) for i, (w, b) in enumerate(self.layers)]
        moments = [[cut(t, i // 2) for i, t in enumerate(moment)] for moment in self.moments]
        below = [None if each is None else each[index] for each in self.below]
        scales = [scale[index] for scale in self.scales]
        return StackedHeads(layers, moments, below, scales, tasks, self.count, self.steps)

    def update(self, gradients: list[tuple[Tensor, Tensor]], scale: float) -> None:
        """One optimizer step of every head; biases do not decay.

        Calls the kernels behind `torch.optim`'s fused optimizers. Those optimizers themselves, over
        views of these tensors, give the same bits, but their bookkeeping per parameter and step
        made training one linear head 1.2 to 1.3 times as slow, batches of 8 to 30 heads up to 1.14
        times (ratios of processor time on one thread, alternating, 2000 images of 512 features).
        `tests/training/test_heads.py` holds the kernels against `torch.optim`.
        """
        self.steps += 1
        self.count += 1
        flat = [tensor for layer in gradients for tensor in layer]
        recipes = [task.recipe for task in self.tasks]
        alike = len({(r.learning_rate, r.weight_decay) for r in recipes}) == 1
        slots = [slice(None)] if alike else [slice(i, i + 1) for i in range(len(recipes))]
        for recipe, slot in zip(recipes, slots, strict=False):
            for kind, decay in ((0, recipe.weight_decay), (1, 0.0)):
                parts = [
                    [tensor[slot] for tensor in tensors[kind::2]]
                    for tensors in (self.tensors, flat, *self.moments)
                ]
                self._apply(recipe, parts, recipe.learning_rate * scale, decay)

    def _apply(self, recipe: Recipe, parts: list[list[Tensor]], rate: float, decay: float) -> None:
        parameters, gradients, first, second = parts
        if recipe.optimizer == "sgd":
            torch._fused_sgd_(
                parameters,
                gradients,
                first if recipe.momentum else [],
                weight_decay=decay,
                momentum=recipe.momentum,
                lr=rate,
                dampening=0.0,
                nesterov=False,
                maximize=False,
                is_first_step=self.steps == 1,
            )
            return
        options: dict[str, Any] = {
            "lr": rate,
            "beta1": BETAS[0],
            "beta2": BETAS[1],
            "weight_decay": decay,
            "eps": EPSILON,
            "amsgrad": False,
            "maximize": False,
        }
        kernel = torch._fused_adam_ if recipe.optimizer == "adam" else torch._fused_adamw_
        counts = [self.count] * len(parameters)
        kernel(parameters, gradients, first, second, [], counts, **options)


def _linears(head: nn.Module) -> list[nn.Linear]:
    return [module for module in head.modules() if isinstance(module, nn.Linear)]
