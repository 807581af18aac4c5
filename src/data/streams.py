"""Random streams by what is drawn from them, so that no two drawings share one."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy.random import Generator


class Purpose(IntEnum):
    """What a stream is drawn for."""

    common = 0  # what all kinds of object have in common
    subject = 1  # a person's identity, or a kind of object
    image = 2  # a view of either
    marks = 3  # freckles and moles
    scene = 4  # a photograph's background, clothes, occluder and noise


def stream(purpose: Purpose, seed: int, *numbers: int) -> Generator:
    """A generator whose draws depend on all arguments and how many they are, and nothing else.

    `seed` has up to 128 bits, each of `numbers` 32.

    The seeds of numpy's generators are padded with zeros, so that (1, 2) gives the same draws as
    (1, 2, 0); spawn keys are not.
    """
    from numpy.random import SeedSequence, default_rng

    return default_rng(SeedSequence(seed, spawn_key=(purpose, *numbers)))
