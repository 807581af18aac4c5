"""Two networks' answers: when one is no worse, when it is cheap enough, and what an image takes."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.stats import norm

from src.tracking.comparison import Comparison, Measured, _milliseconds


def verdict(images: int, flops: int) -> tuple[bool, str]:
    """Of a network that answers like one of 100 FLOPs."""
    right = np.arange(images) % 2 == 0
    found = Comparison.of(Measured(right, 1, flops), Measured(right, 1, 100))
    return found.verdict("another")


@pytest.mark.parametrize(("images", "enough"), [(300, False), (380, False), (381, True)])
def test_a_cheaper_network_must_lose_less_than_one_point_whatever_chance_does(
    images: int, enough: bool
) -> None:
    """Where two answer alike, Tango's limit has this form (Tango, 1998)."""
    square = norm.ppf(0.975) ** 2
    assert (square / (images + square) < 0.01) == enough
    promoted, reason = verdict(images, flops=50)
    assert promoted == enough
    assert reason.startswith("no worse at half the cost" if enough else "a tie: ")


@pytest.mark.parametrize(("flops", "cheap"), [(50, True), (51, False)])
def test_a_network_that_is_no_worse_must_take_at_most_half_the_arithmetic(
    flops: int, cheap: bool
) -> None:
    promoted, reason = verdict(1000, flops)
    assert promoted == cheap and ("lower limit" in reason) == cheap


def test_the_time_of_an_image_is_that_of_the_fastest_of_three_batches_over_its_images(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By a clock that each batch puts forward, since one that runs tells how busy a machine is."""
    now, seconds = [100.0], iter([0.5, 0.25, 0.75])

    def logits(_images: torch.Tensor) -> None:
        now[0] += next(seconds)

    clock = SimpleNamespace(perf_counter=lambda: now[0])
    monkeypatch.setattr("src.tracking.comparison.time", clock)
    batch = torch.zeros(10, 3, 32, 32)
    assert _milliseconds(SimpleNamespace(logits=logits), batch) == 25.0  # type: ignore[arg-type]
    assert next(seconds, None) is None
