"""A progress bar of epochs on stderr; nothing where stderr is not a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from src.progress import on_terminal
from src.training.result import Epoch, OnEpoch


@contextmanager
def epochs_bar(name: str, epochs: int) -> Iterator[OnEpoch]:
    """Yield a function that advances the bar by one epoch."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), **on_terminal()) as bar:
        task = bar.add_task(name, total=epochs)

        def advance(epoch: Epoch) -> None:
            accuracy = f"{name}  validation {epoch.val_accuracy:.1%}"
            bar.update(task, advance=1, description=accuracy)

        yield advance
