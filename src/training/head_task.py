"""One head to train on features, the input of the batched engine."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from src.config import Head, Recipe


@dataclass(frozen=True, kw_only=True)
class HeadTask:
    """An MLP head and how to train it.

    `recipe.learning_rate` is the head's own, multiplier included. `dtype` is the device's
    precision, which matrices are multiplied in where that pays.
    """

    head: Head
    recipe: Recipe
    epochs: int
    batch_size: int
    seed: int
    dtype: torch.dtype = torch.float32
