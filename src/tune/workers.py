"""Several worker processes on one machine, each running waves of the same study."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

from src.errors import TuneError
from src.tune.options import STORAGE

POLL = 0.5  # seconds
WORKER_FLAG = "--as-worker"


def run_workers(
    argv: Sequence[str], storage: str, number: int, *on_poll: Callable[[], None]
) -> None:
    """Start `number` workers with the command line `argv` and wait until all have ended.

    The URL of the storage may hold a password, so they get it in their environment: command lines
    can be read by other users.

    The trials of a worker that dies are run by the others; raises TuneError if all die. On
    KeyboardInterrupt the workers are terminated, and return their running trials to the queue.
    """
    threads = str(max(cores() // number, 1))
    rest = [*_without_storage(argv), WORKER_FLAG, str(os.getpid())]
    command = [sys.executable, "-m", "src.tune", *rest]
    workers = [
        subprocess.Popen(  # noqa: S603
            command,
            env={"OMP_NUM_THREADS": threads, **os.environ, STORAGE: storage},
            start_new_session=True,  # Ctrl-C reaches only this process, which then terminates them
        )
        for _ in range(number)
    ]
    try:
        while any(worker.poll() is None for worker in workers):
            for call in on_poll:
                call()
            time.sleep(POLL)
    except BaseException:
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.wait()
        raise
    if codes := [worker.returncode for worker in workers if worker.returncode]:
        what = f"{len(codes)} of {number} workers died (exit codes {', '.join(map(str, codes))})"
        if len(codes) == number:
            raise TuneError("src.tune", what, "see their messages above")
        print(f"warning: {what}; the others ran their trials", file=sys.stderr)


def cores() -> int:
    """How many cores this process may use, as taskset or a scheduler of jobs says; or all."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _without_storage(argv: Sequence[str]) -> list[str]:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--storage")
    return parser.parse_known_args(argv)[1]


def stop_without(parent: int) -> None:
    """Raise KeyboardInterrupt in a worker whose parent has ended."""
    if os.getppid() != parent:
        raise KeyboardInterrupt
