"""Two ways to do the same, one after the other: each comes first in every second repeat.

Whichever always came first would gain or lose by the state of the processor, which changes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")


def in_turn(ours: Callable[[], A], other: Callable[[], B], repeats: int) -> list[tuple[A, B]]:
    """What both return, in each repeat."""
    return [both(ours, other, repeat) for repeat in range(repeats)]


def both(ours: Callable[[], A], other: Callable[[], B], repeat: int) -> tuple[A, B]:
    """What both return, of which `other` is called first if `repeat` is odd."""
    if repeat % 2:
        second = other()
        return ours(), second
    return ours(), other()
