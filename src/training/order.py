"""The order of training images, and which view of each, as a pure function of seed and epoch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Generator, Tensor


def mixed(*numbers: int) -> int:
    """63 bits that depend on all of `numbers` and nothing else, far apart for near ones.

    Chained splitmix64 (Steele et al., 2014).
    """
    state = 0
    for number in numbers:
        state = (state ^ number) * 0x9E3779B97F4A7C15 + 0x9E3779B97F4A7C15 & (2**64 - 1)
        state = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 & (2**64 - 1)
        state = (state ^ state >> 27) * 0x94D049BB133111EB & (2**64 - 1)
        state ^= state >> 31
    return state & (2**63 - 1)


def stream(*numbers: int) -> Generator:
    """A CPU generator whose draws depend on all of `numbers` and nothing else."""
    return Generator().manual_seed(mixed(*numbers))


@contextmanager
def seeded(device: torch.device, *numbers: int) -> Iterator[None]:
    """Modules that draw from torch's own generators draw by `numbers` alone inside.

    Afterwards the generators are as they were.
    """
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(mixed(*numbers))
        yield


def epoch_order(seed: int, epoch: int, images: int, flip: bool) -> tuple[Tensor, Tensor]:
    """(images,) int64 row numbers in a random order, and (images,) int64 views: 1 is flipped."""
    generator = stream(seed, 1, epoch)
    rows = torch.randperm(images, generator=generator)
    if not flip:
        return rows, torch.zeros(images, dtype=torch.int64)
    return rows, torch.randint(2, (images,), generator=generator)
