"""Random numbers of training, as pure functions of the seed, a purpose and counters."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

import torch
from torch import Generator, Tensor


class Purpose(IntEnum):
    """What random numbers are for; renumbering one changes every result that it feeds."""

    order = 1  # of training images, and which of them are flipped
    layers = 2  # modules that draw from torch's own generators: stochastic depth, dropout
    head = 3  # initial weights
    dropout = 4  # of the heads that are trained as one batch
    source_head = 5  # initial weights of the head that a source network is pretrained under
    crops = 6  # and jitter; also the crops of pretraining
    pairs = 7  # of images that are mixed, and in which shares


def mixed(*numbers: int) -> int:
    """A 63-bit hash of `numbers`, far apart for close ones.

    Chained splitmix64 (Steele et al., 2014).
    """
    state = 0
    for number in numbers:
        state = (state ^ number) * 0x9E3779B97F4A7C15 + 0x9E3779B97F4A7C15 & (2**64 - 1)
        state = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 & (2**64 - 1)
        state = (state ^ state >> 27) * 0x94D049BB133111EB & (2**64 - 1)
        state ^= state >> 31
    return state & (2**63 - 1)


def stream(purpose: Purpose, seed: int, *numbers: int) -> Generator:
    """A CPU generator whose draws depend on the arguments and nothing else."""
    return Generator().manual_seed(mixed(seed, purpose, *numbers))


@contextmanager
def seeded(device: torch.device, seed: int, epoch: int) -> Iterator[None]:
    """Seed torch's own generators, which modules draw from, for one epoch; restore them after."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(mixed(seed, Purpose.layers, epoch))
        yield


def epoch_order(seed: int, epoch: int, images: int, flip: bool) -> tuple[Tensor, Tensor]:
    """(images,) int64 row numbers in a random order, and (images,) int64 views: 1 is flipped."""
    generator = stream(Purpose.order, seed, epoch)
    rows = torch.randperm(images, generator=generator)
    if not flip:
        return rows, torch.zeros(images, dtype=torch.int64)
    return rows, torch.randint(2, (images,), generator=generator)
