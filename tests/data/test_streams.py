"""Every subject and every image has random streams of its own."""

from __future__ import annotations

from itertools import product

import numpy as np

from src.data.streams import RenderPurpose, render_stream


def test_no_two_streams_are_equal() -> None:
    """Also where numbers are 0, large or missing."""
    numbers = (0, 1, 2, 1_000_000, 2**32 - 1)
    keys = [
        (purpose, seed, *rest)
        for purpose in RenderPurpose
        for seed in (*numbers, 2**32, 2**63 - 1)
        for count in range(3)
        for rest in product(numbers, repeat=count)
    ]
    states = {str(render_stream(*key).bit_generator.state["state"]) for key in keys}
    assert len(states) == len(keys)


def test_seeds_padded_with_zeros_collide_and_spawn_keys_do_not() -> None:
    one, other = (np.random.default_rng(seed).random() for seed in ((1, 2), (1, 2, 0)))
    assert one == other
    assert (
        render_stream(RenderPurpose.image, 1, 2).random()
        != render_stream(RenderPurpose.image, 1, 2, 0).random()
    )
