"""Peak memory of a training."""

from __future__ import annotations

import ctypes
import gc
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Self

import torch

from benchmarks.peers.measure import peak_rss_mb
from src.training.device import Compute


def peak_memory(compute: Compute) -> float:
    """MiB since `reset_peak`: this process's largest resident set, or the GPU's most allocated."""
    if compute.device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return peak_rss_mb()


def reset_peak(compute: Compute) -> None:
    """Have `peak_memory` count from now on; elsewhere than on Linux a process keeps its largest."""
    if compute.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    elif sys.platform == "linux":
        gc.collect()
        if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):  # musl has none
            trim(0)  # what was freed and kept for later, as `src.training.device` has it
        with suppress(OSError):  # a kernel may be built without it
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


class OwnMemory:
    """The largest resident memory of this process's own, sampled within a block, in MiB.

    Without pages of mapped files, of which the kernel leaves as many as there is room for. Needs
    Linux's /proc; 0 elsewhere.
    """

    INTERVAL = 0.01  # seconds
    STATUS = Path("/proc/self/status")

    def __init__(self) -> None:
        self.peak = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        if self.STATUS.exists():
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(self.INTERVAL):
            lines = self.STATUS.read_text().splitlines()
            own = next(line for line in lines if line.startswith("RssAnon"))
            self.peak = max(self.peak, int(own.split()[1]) / 2**10)
