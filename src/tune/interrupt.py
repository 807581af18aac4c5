"""Ctrl-C at the points where a search can stop, and nowhere else.

Python raises KeyboardInterrupt between any two instructions: in the middle of a trial's claim, or
in a destructor, where it is printed and forgotten.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def held() -> Iterator[Callable[[], None]]:
    """Note Ctrl-C, and SIGTERM, which counts as one here; the block gets what raises it.

    Its call raises KeyboardInterrupt where one has come, as does the end of the block.
    """
    received: list[int] = []

    def stop_if_asked() -> None:
        if received:
            raise KeyboardInterrupt

    if current_thread() is not main_thread():
        yield stop_if_asked
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number in SIGNALS:
        if before[number] is not signal.SIG_IGN:
            signal.signal(number, lambda which, _frame: received.append(which))
    try:
        yield stop_if_asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    stop_if_asked()
