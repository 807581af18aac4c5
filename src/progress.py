"""Progress on stderr: bars on a terminal, and elsewhere a line for what takes long."""

from __future__ import annotations

import sys
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
    from rich.markup import escape
    from rich.progress import track

    return track(items, escape(what), total=total, **on_terminal())


def working(what: str) -> AbstractContextManager[object]:
    """Say what goes on inside the block, whose length is unknown; on a terminal, until it ends."""
    from rich.console import Console
    from rich.markup import escape

    console = Console(stderr=True)
    if console.is_terminal:
        return console.status(escape(what))
    print(f"{what} ...", file=sys.stderr, flush=True)
    return nullcontext()
