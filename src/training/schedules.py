"""Learning-rate schedules as plain functions of the step, so that many heads can share one."""

from __future__ import annotations

import math

from src.config import Recipe

# One-cycle's shape (Smith and Topin, 2018) with the defaults of torch.optim.lr_scheduler.
RISE, START, END = 0.3, 1 / 25, 1 / 25 / 1e4


def factor(recipe: Recipe, step: int, steps_per_epoch: int, epochs: int) -> float:
    """The factor of the learning rate at `step`, counted from 0 over the whole run."""
    total = steps_per_epoch * epochs
    if recipe.schedule == "onecycle":
        return _one_cycle(step, total)
    if recipe.schedule == "cosine":
        return _cosine(step, total, round(recipe.warmup_epochs * steps_per_epoch))
    if recipe.schedule == "exponential":
        return recipe.decay ** (step // steps_per_epoch)
    if recipe.schedule == "step":
        return recipe.decay ** (3 * (step // steps_per_epoch) // epochs)
    return 1.0


def _one_cycle(step: int, total: int) -> float:
    peak = RISE * total - 1
    if step <= peak:
        return _between(START, 1, step / peak)
    return _between(1, END, (step - peak) / max(total - 1 - peak, 1e-12))


def _cosine(step: int, total: int, warmup: int) -> float:
    if step < warmup:
        return (step + 1) / warmup
    return _between(1, 0, (step - warmup) / max(total - warmup, 1))


def _between(start: float, end: float, fraction: float) -> float:
    """From `start` to `end` along half a cosine (Loshchilov and Hutter, 2017)."""
    return end + (start - end) * (1 + math.cos(math.pi * fraction)) / 2
