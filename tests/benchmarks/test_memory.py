"""Peak memory is that of what is measured."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks.memory import peak_memory, reset_peak
from src.training.device import resolve

MANY = 200 * 2**20  # bytes


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc")
def test_what_was_freed_before_does_not_count() -> None:
    compute = resolve("cpu", "float32")  # which has malloc keep what is freed
    torch.ones(MANY, dtype=torch.uint8)
    before = peak_memory(compute)
    reset_peak(compute)
    after = peak_memory(compute)
    assert after < before - 0.8 * MANY / 2**20
    torch.ones(MANY, dtype=torch.uint8)
    assert peak_memory(compute) > after + 0.8 * MANY / 2**20
