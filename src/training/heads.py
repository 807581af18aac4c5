"""Many heads trained at once over cached features, each exactly as if it were trained alone.

Heads of one depth are stacked, their widths padded with zeros. A padded unit has zero weights on
both sides, so its activation and all its gradients are zero and Adam leaves it where it is: no
mask is needed and the arithmetic of the real units is unchanged. Forward and backward are
written out as batched matrix products; `tests/training/test_heads.py` holds them against
autograd and torch.optim, one head at a time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from src.errors import DivergedError
from src.models.head import build_head, initialize_head
from src.training.device import products_in
from src.training.dropout import counters, keep_mask
from src.training.grouping import group_tasks, product_dtype
from src.training.head_task import HeadTask
from src.training.order import Purpose, epoch_order, mixed, stream
from src.training.result import Epoch, choose, divergence, ends_early, score_sums
from src.training.schedules import factor
from src.training.stacked import StackedHeads


@dataclass(frozen=True)
class HeadResult:
    """A trained head: the state of `build_head`'s module after the chosen epoch."""

    state: dict[str, Tensor]
    history: tuple[Epoch, ...]
    chosen: Epoch


@dataclass(frozen=True)
class DivergedHead:
    """A head that was given up: why, and its history until then."""

    error: DivergedError
    history: tuple[Epoch, ...]


class FeatureSource(Protocol):
    """Features of training images, which may differ per epoch, and of validation images."""

    @property
    def labels(self) -> Tensor:
        """(N,) int64."""

    @property
    def val_labels(self) -> Tensor:
        """(M,) int64."""

    def training(self, epoch: int, /) -> Tensor:
        """(views, N, D) float32."""

    def validation(self, epoch: int, /) -> Tensor:
        """(M, D) float32."""


VALIDATED = 2**24  # logits of validation images that are in memory at once
OnHeadEpoch = Callable[[int, Epoch], bool]


def _always(_task: int, _epoch: Epoch) -> bool:
    return True


def train_heads(
    tasks: Sequence[HeadTask],
    features: FeatureSource,
    classes: int,
    on_epoch: OnHeadEpoch = _always,
) -> list[HeadResult]:
    """Train every task's head; results are in the order of the tasks.

    `on_epoch(task number, epoch)` is called after each epoch of each head; a head for which it
    returns False stops, and leaves the batch. Raises DivergedError for a head whose loss was not
    finite, once the others are trained.
    """
    results = []
    for result in try_heads(tasks, features, classes, on_epoch):
        if isinstance(result, DivergedHead):
            raise result.error
        results.append(result)
    return results


def try_heads(
    tasks: Sequence[HeadTask],
    features: FeatureSource,
    classes: int,
    on_epoch: OnHeadEpoch = _always,
) -> list[HeadResult | DivergedHead]:
    """The same, but a head that diverges leaves the batch alone; `on_epoch` does not see it."""
    width = features.training(1).shape[-1]
    fitted: dict[int, HeadResult | DivergedHead] = {}
    for members in group_tasks(tasks, width, classes, features.labels.device):
        group = _Group([tasks[i] for i in members], members, features, classes)
        fitted.update(group.train(on_epoch))
    return [fitted[i] for i in range(len(tasks))]


class _Group:
    """Heads of one depth, batch size, schedule and length, trained as one batched problem."""

    def __init__(
        self, tasks: list[HeadTask], members: list[int], features: FeatureSource, classes: int
    ) -> None:
        self.members, self.features = members, features
        self.device = features.labels.device
        self.classes = classes
        width = features.training(1).shape[-1]
        self.heads = [_new_head(task, width, classes) for task in tasks]
        self.dtype = product_dtype(tasks[0], width, classes, self.device)
        self.stacked = StackedHeads.of(self.heads, tasks, self.device)
        self.histories: list[tuple[Epoch, ...]] = [() for _ in tasks]
        self.best: list[dict[str, Tensor]] = [{} for _ in tasks]
        self.counters: dict[tuple[int, int], Tensor] = {}

    @property
    def tasks(self) -> list[HeadTask]:
        """The tasks still training, one per slot of the stack."""
        return self.stacked.tasks

    def train(self, on_epoch: OnHeadEpoch) -> dict[int, HeadResult | DivergedHead]:
        """Run to the end of every head; returns results by task number."""
        done: dict[int, HeadResult | DivergedHead] = {}
        number, going = 0, list(range(len(self.tasks)))
        while going:
            number += 1
            with products_in(self.dtype):
                epochs, losses = self._epoch(number)
            going = []
            for slot, epoch in enumerate(epochs):
                task = self.tasks[slot]
                if error := divergence(epoch, losses[:, slot], task.seed):
                    done[self.members[slot]] = DivergedHead(error, self.histories[slot])
                    continue
                self.histories[slot] = history = (*self.histories[slot], epoch)
                if choose(history, task.recipe.select) is epoch:
                    self.best[slot] = self.stacked.state(slot, self.heads[slot])
                wanted = on_epoch(self.members[slot], epoch)
                if (
                    wanted
                    and number < task.epochs
                    and not ends_early(history, task.recipe.patience)
                ):
                    going.append(slot)
                else:
                    chosen = choose(history, task.recipe.select)
                    done[self.members[slot]] = HeadResult(self.best[slot], history, chosen)
            if going and len(going) < len(self.tasks):
                self._select(going)
        return done

    def _select(self, slots: list[int]) -> None:
        self.members = [self.members[i] for i in slots]
        self.heads = [self.heads[i] for i in slots]
        self.histories = [self.histories[i] for i in slots]
        self.best = [self.best[i] for i in slots]
        self.stacked = self.stacked.select(slots)

    def _epoch(self, number: int) -> tuple[list[Epoch], Tensor]:
        """An epoch of every head, and the (steps, H) losses of its batches, on the device."""
        started = time.perf_counter()
        first, heads = self.tasks[0], len(self.tasks)
        features = self.features.training(number)
        images = features.shape[1]
        steps = -(-images // first.batch_size)
        rows = self._orders(number, images, features.shape[0])
        table = features.flatten(0, 1)
        labels = self.features.labels.repeat(features.shape[0])
        totals = torch.zeros((), device=self.device)
        # At once: small tensors kept one by one between a step's larger ones leave holes in memory.
        losses = torch.empty(steps, heads, device=self.device)
        drops = any(below is not None for below in self.stacked.below)
        layers = len(first.head.hidden) if drops else 0
        done = range((number - 1) * steps, number * steps)
        keys = dropout_keys(self.tasks, done, layers).to(self.device)
        for step, part in enumerate(torch.split(rows, first.batch_size, 1)):
            scale = factor(first.recipe, done[step], steps, first.epochs)
            sums = self._step(table[part], labels[part], keys[step], scale)
            losses[step] = sums[0]
            totals = totals + sums
        scores = (totals / images).T.tolist()
        speed = images * heads / (time.perf_counter() - started)
        val_scores = self._validate(number)
        share = (time.perf_counter() - started) / heads
        epochs = [
            Epoch.of(
                number,
                scores[slot],
                val_scores[slot],
                task.recipe.learning_rate * scale,
                share,
                speed,
            )
            for slot, task in enumerate(self.tasks)
        ]
        return epochs, losses

    def _orders(self, number: int, images: int, views: int) -> Tensor:
        """(H, N) rows of the flattened (views x N) table, in each head's own order."""
        orders = {}
        for task in self.tasks:
            if task.seed not in orders:
                rows, view = epoch_order(task.seed, number, images, task.recipe.flip)
                orders[task.seed] = (view * images if views > 1 else 0) + rows
        return torch.stack([orders[task.seed] for task in self.tasks]).to(self.device)

    def _step(self, inputs: Tensor, labels: Tensor, keys: Tensor, scale: float) -> Tensor:
        """One optimizer step; returns the (scores, H) sums of `score_sums`."""
        activations = self._forward(inputs, keys)
        logits = activations[-1]
        smoothing = self.tasks[0].recipe.label_smoothing
        log_probabilities = logits.log_softmax(2)
        target = torch.full_like(logits, smoothing / self.classes)
        target.scatter_(2, labels.unsqueeze(2), 1 - smoothing + smoothing / self.classes)
        loss = -(target * log_probabilities).sum((1, 2))
        sums = score_sums(logits, labels, loss)
        gradient = (log_probabilities.exp_() - target).div_(labels.shape[1])
        self._backward(activations, gradient, scale)
        return sums

    def _forward(self, inputs: Tensor, keys: Tensor | None) -> list[Tensor]:
        """Inputs, hidden activations and logits, each (H, B, width); dropout by (layers, H) keys.

        Without keys nothing is dropped, as in validation.
        """
        activations = [inputs]
        for layer, (weight, bias) in enumerate(self.stacked.layers):
            output = torch.baddbmm(bias, activations[-1], weight)
            if layer < len(self.stacked.layers) - 1:
                if keys is not None:
                    output = self._dropped(output, keys, layer)
                output.relu_()
            activations.append(output)
        return activations

    def _dropped(self, output: Tensor, keys: Tensor, layer: int) -> Tensor:
        below = self.stacked.below[layer]
        if below is None:
            return output
        shape = (output.shape[1], output.shape[2])
        if shape not in self.counters:
            self.counters[shape] = counters(*shape, self.device)
        kept = keep_mask(self.counters[shape], keys[layer], below)
        return output.mul_(kept).mul_(self.stacked.scales[layer])

    def _backward(self, activations: list[Tensor], gradient: Tensor, scale: float) -> None:
        gradients: list[tuple[Tensor, Tensor]] = []
        for layer in reversed(range(len(self.stacked.layers))):
            inputs, weight = activations[layer], self.stacked.layers[layer][0]
            gradients.append((inputs.mT @ gradient, gradient.sum(1, keepdim=True)))
            if layer:
                gradient = (weight @ gradient.mT).mT.contiguous().mul_(inputs > 0)
                if self.stacked.below[layer - 1] is not None:
                    gradient.mul_(self.stacked.scales[layer - 1])
        self.stacked.update(gradients[::-1], scale)

    def _validate(self, number: int) -> list[list[float]]:
        """Mean scores of each head."""
        heads, labels = len(self.tasks), self.features.val_labels
        at_once = max(1, VALIDATED // (heads * self.classes))  # images; all of them, unless many
        sums = torch.zeros((), device=self.device)
        parts = torch.split(self.features.validation(number), at_once)
        for features, actual in zip(parts, torch.split(labels, at_once), strict=True):
            logits = self._forward(features.expand(heads, -1, -1), None)[-1]
            loss = nn.functional.cross_entropy(
                logits.flatten(0, 1), actual.repeat(heads), reduction="none"
            )
            sums = sums + score_sums(logits, actual, loss.view(heads, -1).sum(1))
        scores: list[list[float]] = (sums / len(labels)).T.tolist()
        return scores


def dropout_keys(tasks: Sequence[HeadTask], steps: range, layers: int) -> Tensor:
    """(steps, layers, H) int32: a number per step, layer and head, for `dropout.keep_mask`."""
    keys = [
        mixed(task.seed, Purpose.dropout, step, layer) & 0x7FFFFFFF
        for step in steps
        for layer in range(layers)
        for task in tasks
    ]
    return torch.tensor(keys, dtype=torch.int32).view(len(steps), layers, len(tasks))


def _new_head(task: HeadTask, features: int, classes: int) -> nn.Module:
    head = build_head(task.head, features, classes)
    initialize_head(head, stream(Purpose.head, task.seed), task.recipe.head_init)
    return head
