"""Independent random streams, one for each thing that is drawn."""

from __future__ import annotations

from enum import IntEnum

from numpy.random import Generator, SeedSequence, default_rng

FIRST_SOURCE = 1_000_000  # number of the first subject or kind of source tasks; targets have fewer


class RenderPurpose(IntEnum):
    """What a stream is for."""

    common = 0  # what all kinds of object have in common
    subject = 1  # a person's identity, or a kind of object
    image = 2  # one view of a person or object
    marks = 3  # freckles and moles
    scene = 4  # a photograph's background, clothes, occluder and noise


def render_stream(purpose: RenderPurpose, seed: int, *numbers: int) -> Generator:
    """A generator that is different for every different list of arguments.

    `seed` has up to 128 bits, each of `numbers` up to 32. The numbers are a spawn key because
    numpy pads seeds with zeros: `default_rng((1, 2))` and `default_rng((1, 2, 0))` draw the same.
    """
    return default_rng(SeedSequence(seed, spawn_key=(purpose, *numbers)))
