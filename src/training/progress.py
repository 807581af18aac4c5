"""A progress bar of epochs on stderr; nothing where stderr is not a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from src.progress import on_terminal
from src.training.result import Epoch


class Advance(Protocol):
    """Advances the bar by one epoch of a seed, which is counted from 0."""

    def __call__(self, epoch: Epoch, seed: int = 0, /) -> None:
        """`epoch` has ended."""


@contextmanager
def epochs_bar(name: str, epochs: int, seeds: int = 1) -> Iterator[Advance]:
    """Yield a function that advances a bar of `epochs` for each seed."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), **on_terminal()) as bar:
        task = bar.add_task(name, total=epochs * seeds)

        def advance(epoch: Epoch, seed: int = 0, /) -> None:
            title = f"{name} seed {seed + 1} of {seeds}" if seeds > 1 else name
            accuracy = f"{title}  validation {epoch.val_accuracy:.1%}"
            bar.update(task, advance=1, description=accuracy)

        yield advance
