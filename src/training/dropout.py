"""Dropout whose pattern depends only on (seed, step, layer, row, unit).

Counter-based random numbers (Salmon et al., 2011) need no state: a head draws the same pattern
alone, in a batch of fifty, padded to a greater width, on a CPU or on a GPU.
"""

from __future__ import annotations

import torch
from torch import Tensor

UNITS = 16  # bits of the counter that number the units of a layer; rows take the rest


def _mix(x: Tensor) -> Tensor:
    """Spread every bit of int32 numbers over all (lowbias32, Wellons 2018); in place.

    Shifts of signed numbers copy the sign, so what they shift in is masked away.
    """
    x ^= (x >> 16) & 0xFFFF
    x *= 0x7FEB352D
    x ^= (x >> 15) & 0x1FFFF
    x *= -0x7B935975  # 0x846CA68B as a signed number
    x ^= (x >> 16) & 0xFFFF
    return x


def counters(rows: int, units: int, device: torch.device) -> Tensor:
    """(rows, units) int32, mixed once; the same for every head and step."""
    row = torch.arange(rows, dtype=torch.int32, device=device).view(-1, 1) << UNITS
    return _mix(row | torch.arange(units, dtype=torch.int32, device=device))


def thresholds(rates: Tensor) -> Tensor:
    """(H, 1, 1) int32, below which a unit's number drops it; of rates (H,) float32 in [0, 1)."""
    return (rates.double() * 2**32 - 2**31).round().to(torch.int32).view(-1, 1, 1)


def keep_mask(mixed: Tensor, keys: Tensor, below: Tensor) -> Tensor:
    """(H, rows, units) bool: the units to keep, each with probability 1 - rate.

    `mixed` comes from `counters`; `keys` (H,) int32 are one per head for this step and layer;
    `below` from `thresholds`.
    """
    return _mix(mixed ^ keys.view(-1, 1, 1)) >= below
