"""Handling Ctrl-C only where a search can stop.

Python raises KeyboardInterrupt between any two instructions: while a trial is half written, or in
a destructor, where it is printed and ignored.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def deferred_interrupts() -> Iterator[Callable[[], None]]:
    """Hold back Ctrl-C and SIGTERM during a `with` block, which is given a function.

    If a signal has arrived, KeyboardInterrupt is raised by that function when it is next called, or
    at the end of the block.
    """
    received: list[int] = []

    def check_interrupt() -> None:
        if received:
            raise KeyboardInterrupt

    if current_thread() is not main_thread():
        yield check_interrupt
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number in SIGNALS:
        if before[number] is not signal.SIG_IGN:
            signal.signal(number, lambda which, _frame: received.append(which))
    try:
        yield check_interrupt
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    check_interrupt()
