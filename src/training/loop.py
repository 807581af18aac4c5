"""The training loop for networks, from the end of the frozen prefix."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from src.config import Recipe
from src.models.network import Network
from src.models.trainable import (
    Phase,
    frozen_prefix,
    phases,
    training_mode,
    unfreeze,
    unfrozen,
)
from src.training.accumulation import Accumulation
from src.training.augment import augmented
from src.training.checkpoint import Checkpoint
from src.training.device import Compute
from src.training.inputs import Inputs, PrefixOutputs
from src.training.mixup import mix
from src.training.optimizers import build_optimizer, set_rate
from src.training.order import epoch_order, seeded
from src.training.result import Epoch, OnEpoch, choose, divergence, ends_early, score_sums
from src.training.schedules import factor

EVALUATION_BATCH = 256  # images that are answered at once
EVALUATION_PIXELS = 2**20  # of their maps, which bounds the memory of what blocks make of them


@dataclass(frozen=True)
class Examples:
    """Inputs of N images with their (N,) int64 labels, on one device.

    all: the number of images of which these are a rank's own; None if these are all. views: those
    of an image over which its answer is the mean. cached: the inputs of later blocks, in their
    order; each holds until a block before it trains.
    """

    inputs: Inputs
    labels: Tensor
    all: int | None = None
    views: int = 1
    cached: tuple[Inputs, ...] = ()

    def __len__(self) -> int:
        return len(self.labels) if self.all is None else self.all

    def before(self, stop: int) -> Inputs:
        """The inputs nearest to block `stop`, where no block before it has trained."""
        return next((each for each in reversed(self.cached) if each.start <= stop), self.inputs)


# The examples with the inputs of a block in so many views, from what runs before it as it is now.
CacheInputs = Callable[[Examples, int, int], Examples]


@dataclass(frozen=True)
class Plan:
    """Which blocks to train, by which recipe and for how long.

    stop: epochs after which training ends, though the schedule is that of `epochs`.
    """

    recipe: Recipe
    trained: frozenset[str]
    epochs: int
    batch_size: int
    seed: int
    stop: int | None = None

    def ended(self, history: tuple[Epoch, ...]) -> bool:
        """Whether training is over after these epochs."""
        first = max(map(self.recipe.first_epoch, self.trained))  # in which all trains
        early = bool(history) and ends_early(history, self.recipe.patience, first)
        return early or len(history) >= (self.stop or self.epochs)


def train(
    network: Network,
    plan: Plan,
    training: Examples,
    validation: Examples,
    compute: Compute,
    on_epoch: OnEpoch,
    checkpoint: Checkpoint | None = None,
    cache: CacheInputs | None = None,
) -> tuple[Epoch, ...]:
    """Train `network` in place, leave it with the chosen epoch's weights, return the history.

    cache: what keeps the outputs of blocks that have trained and are frozen again, if anything.

    Randomness comes from the seed and the epoch's number alone, so a run that resumes from a
    checkpoint ends in the same bytes as one that was never stopped. `on_epoch` is called for
    every epoch of the history, those from the checkpoint first. Raises DivergedError after an
    epoch whose loss is not finite.
    """
    unfreeze(network, plan.trained, plan.recipe.batchnorm)
    optimizer, best, history = _resumed(network, plan, checkpoint)
    passes = Accumulation(network, compute, plan.recipe.label_smoothing, plan.batch_size)
    for epoch in history:
        on_epoch(epoch)
    phase, of_epochs = None, _of_epochs(network, plan)
    while not plan.ended(history):
        number, started = len(history) + 1, time.perf_counter()
        if of_epochs[number - 1] is not phase:
            phase = of_epochs[number - 1]
            training = _holding(phase, training, plan.recipe.training_views, cache)
            validation = _holding(phase, validation, validation.views, cache)
        epoch = _epoch(number, started, network, plan, optimizer, training, validation, passes)
        history = (*history, epoch)
        if choose(history, plan.recipe.select) is epoch:
            best = _copy(network)
        on_epoch(epoch)
        if checkpoint:
            state = {
                "network": network.state_dict(),
                "optimizer": optimizer.state_dict(),
                "best": best,
            }
            checkpoint.save(state, history, ended=plan.ended(history))
    network.load_state_dict(best)
    return history


def _resumed(
    network: Network, plan: Plan, checkpoint: Checkpoint | None
) -> tuple[Optimizer, dict[str, Tensor], tuple[Epoch, ...]]:
    """Optimizer, best weights and history, as the checkpoint has them or as they are at first."""
    before, optimizer = _copy(network), build_optimizer(network, plan.recipe)
    if not checkpoint or not (found := checkpoint.load()):
        return optimizer, before, ()
    state, history = found
    try:
        network.load_state_dict(state["best"])  # for its check of names and shapes
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        return optimizer, state["best"], history
    except (RuntimeError, KeyError, TypeError, ValueError, AttributeError, IndexError):
        checkpoint.ignored()
        network.load_state_dict(before)
        return build_optimizer(network, plan.recipe), before, ()


def _copy(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def _of_epochs(network: Network, plan: Plan) -> list[Phase]:
    """The phase that each epoch is in."""
    found = phases(network, plan.trained, plan.recipe, plan.epochs)
    return [phase for phase in found for _ in range(phase.epochs)]


def _holding(phase: Phase, examples: Examples, views: int, cache: CacheInputs | None) -> Examples:
    """The examples as a phase can take them: without what earlier ones have changed.

    And with the outputs of blocks that trained in those and are frozen now, where that pays.
    """
    if phase.stop == phase.untouched:
        return examples
    kept = tuple(each for each in examples.cached if each.start <= phase.untouched)
    examples = replace(examples, cached=kept)
    return cache(examples, phase.stop, views) if cache and phase.pays else examples


def _epoch(
    number: int,
    started: float,
    network: Network,
    plan: Plan,
    optimizer: Optimizer,
    training: Examples,
    validation: Examples,
    passes: Accumulation,
) -> Epoch:
    compute, recipe, begun = passes.compute, plan.recipe, time.perf_counter()
    ranks = compute.ranks
    trained = unfrozen(plan.trained, recipe, number)
    unfreeze(network, trained, recipe.batchnorm)
    training_mode(network, trained, recipe.batchnorm)
    stop = frozen_prefix(network, trained, recipe.batchnorm)
    images = len(training)
    rows, views = epoch_order(plan.seed, number, images, recipe.flip)
    inputs = augmented(training.before(stop), recipe.augment, plan.seed, number, images, ranks)
    if recipe.mixup:
        if inputs.start < stop:
            inputs = PrefixOutputs(inputs, network, stop)
        inputs = mix(inputs, training.labels, recipe.mixup, recipe.flip, plan.seed, number)
    steps = -(-images // plan.batch_size)
    totals, losses = torch.zeros((), device=compute.device), []
    with seeded(compute.device, plan.seed, number):
        batches = ranks.batches(rows, views, plan.batch_size, compute.device)
        for step, (part, view, size) in enumerate(batches):
            done = (number - 1) * steps + step
            set_rate(optimizer, factor(recipe, done, steps, plan.epochs))
            loss, sums = passes.backward(inputs, part, view, training.labels[part], size)
            optimizer.step()
            losses.append(loss)
            totals = totals + sums
    scores = (totals / images).tolist()
    speed = images / (time.perf_counter() - begun)
    val_scores = evaluate(network, validation, compute, stop)
    rate = max(group["lr"] for group in optimizer.param_groups)
    seconds = time.perf_counter() - started
    epoch = Epoch.of(number, scores, val_scores, rate, seconds, speed)
    if error := divergence(epoch, torch.stack(losses), plan.seed):
        raise error
    return epoch


@torch.no_grad()
def evaluate(network: Network, examples: Examples, compute: Compute, stop: int = 0) -> list[float]:
    """Mean loss (cross-entropy) and accuracy in evaluation mode, as `score_sums` orders them.

    Of the images of all ranks. stop: the first blocks, of which none has trained.
    """
    totals = torch.zeros((), device=compute.device)
    for logits, labels in answers(network, examples, compute, stop):
        totals = totals + score_sums(logits, labels, F.cross_entropy(logits, labels) * len(labels))
    compute.ranks.add([totals])
    scores: list[float] = (totals / len(examples)).tolist()
    return scores


@torch.no_grad()
def answers(
    network: Network, examples: Examples, compute: Compute, stop: int = 0
) -> Iterator[tuple[Tensor, Tensor]]:
    """(B, classes) float32 logits in evaluation mode with their (B,) labels, batch by batch.

    stop: the first blocks, of which none has trained.
    """
    network.eval()
    inputs = examples.before(stop)
    rows = torch.arange(len(examples.labels), device=compute.device)
    for part in torch.split(rows, _at_once(inputs, rows[:1])):
        with compute.autocast():
            views = (
                inputs.batch(part, torch.full_like(part, view)) for view in range(examples.views)
            )
            logits = network.head(network.answer(views, inputs.start)).float()
        yield logits, examples.labels[part]


def _at_once(inputs: Inputs, first: Tensor) -> int:
    """How many of `inputs` are answered at once, of which `first` is the number of one."""
    pixels = inputs.batch(first, torch.zeros_like(first)).shape[2:].numel()
    return max(1, min(EVALUATION_BATCH, EVALUATION_PIXELS // pixels))
