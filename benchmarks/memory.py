"""Peak memory of a training."""

from __future__ import annotations

import resource
import sys

import torch

from src.training.device import Compute


def peak_memory(compute: Compute) -> float:
    """MiB: this process's largest resident set so far, or the GPU's largest allocation."""
    if compute.device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kilobytes / (2**20 if sys.platform == "darwin" else 2**10)


def reset_peak(compute: Compute) -> None:
    """Have `peak_memory` count a GPU's allocations from now on; a process keeps its largest set."""
    if compute.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
