"""Progress on stderr; nothing where stderr is not a terminal."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

Item = TypeVar("Item")


def on_terminal() -> dict[str, Any]:
    """Arguments of rich's progress bars: the console of stderr, and whether to show nothing."""
    from rich.console import Console

    console = Console(stderr=True)
    return {"console": console, "disable": not console.is_terminal}


def tracked(items: Iterable[Item], what: str, total: float | None = None) -> Iterable[Item]:
    """The items, with a bar that says how many of them are done."""
    from rich.progress import track

    return track(items, what, total=total, **on_terminal())


def working(what: str) -> AbstractContextManager[object]:
    """A sign that work of unknown length goes on inside the block."""
    from rich.console import Console

    console = Console(stderr=True)
    return console.status(what) if console.is_terminal else nullcontext()
