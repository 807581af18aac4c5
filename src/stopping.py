"""Ending on Ctrl-C or SIGTERM: at any moment, within two seconds, with one line.

Inside a command, a signal raises KeyboardInterrupt, so that what is open is closed: MLflow runs,
trials of a search, files half written. While modules import, and once the command is done, there
is nothing to close, and the process ends at once.

KeyboardInterrupt alone does not do: it waits for calls into C to return, such as a fit of
scikit-learn's or SQLite waiting for a lock; it is lost in destructors and callbacks, which ignore
exceptions; libraries turn it into errors of their own while they import; and after it Python still
waits for threads. A thread that the signal wakes, by way of a pipe that Python's C code writes to,
therefore ends the process after `GRACE`, whatever it is doing.

The thread also sees to it that a stage ends when the DVC that started it does: DVC passes no signal
on, so that one killed alone would leave a training that nobody sees, and the next `dvc repro`
would train beside it. What a user starts in a shell outlives the shell as usual.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM)
GRACE = 1.5  # seconds to close what is open
POLL = 0.5  # seconds between looks for the DVC that started a stage
STOPPED = 130  # exit code, as a shell's for Ctrl-C


@dataclass
class _State:
    """interrupts: whether a signal raises KeyboardInterrupt. interrupted: whether one has."""

    interrupts: bool = False
    interrupted: bool = False
    watched: bool = False
    said: threading.Lock = field(default_factory=threading.Lock)


_state = _State()


def listen_from_the_start() -> None:
    """Called first of all in each package of commands; does nothing unless `python -m` runs one."""
    if sys.argv[:1] == ["-m"]:  # so it is while runpy looks for the module
        listen()


def listen() -> None:
    """Handle signals from now on; one that is ignored, as in a shell's background, stays so."""
    for number in SIGNALS:
        if number == signal.SIGTERM or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _on_signal)
    if not _state.watched:
        _state.watched = True
        woken, waker = os.pipe()
        os.set_blocking(waker, False)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        threading.Thread(target=_watch, args=(woken,), daemon=True, name="signals").start()


@contextmanager
def interruptible() -> Iterator[None]:
    """Signals raise KeyboardInterrupt inside the block; after one, the process ends with it."""
    _state.interrupts = True
    try:
        yield
    finally:
        _state.interrupts = False
        if _state.interrupted:  # whatever became of the exception meanwhile
            end()


def end() -> NoReturn:
    """Say so and end the process, without waiting for threads or what runs at exit."""
    _state.interrupts, _state.interrupted = True, True  # a further signal does nothing
    with suppress(Exception):
        sys.stdout.flush()
    _end()


def _on_signal(_number: int, _frame: FrameType | None) -> None:
    if not _state.interrupts:
        end()
    if not _state.interrupted:
        _state.interrupted = True
        # Where an exception is ignored Python prints it; this one has been heard.
        sys.unraisablehook = lambda _: None
        raise KeyboardInterrupt


def _watch(woken: int) -> None:
    started_by = _dvc_stage_chain()
    while True:
        ready, _, _ = select.select([woken], [], [], POLL if started_by else None)
        if ready and {*SIGNALS} & {*os.read(woken, 64)}:
            break
        if started_by and started_by != _dvc_stage_chain(len(started_by)):
            started_by = ()
            os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE)
    _end()


def _dvc_stage_chain(length: int = 0) -> tuple[int, ...]:
    """The ids of the processes up to the DVC that runs this one as a stage; none without one.

    A shell that DVC started may be in between, unless it has replaced itself by the command. When
    a process dies, others become the parents of its children at once, so the ids change. `length`
    is that of the chain if it is known, since a shell's name can then be left alone.
    """
    if "DVC_STAGE" not in os.environ:
        return ()
    parent = os.getppid()
    if length == 1:
        return (parent,)
    import psutil

    try:
        process = psutil.Process(parent)
        shell = Path(os.environ.get("SHELL") or "/bin/sh").name  # as DVC chooses it
        if length or process.name() == shell:
            return parent, process.ppid()
    except psutil.Error:  # it has just died
        return (parent, 0) if length else (parent,)
    return (parent,)


def _end() -> NoReturn:
    if _state.said.acquire(blocking=False):
        with suppress(OSError):
            os.write(2, b"stopped\n")
    else:
        time.sleep(0.1)  # for the thread that says it
    os._exit(STOPPED)
