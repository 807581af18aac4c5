"""How much arithmetic a network's answer takes, which is the same on every machine."""

from __future__ import annotations

import torch
from torch.utils.flop_counter import FlopCounterMode

from src.models.network import Network


@torch.no_grad()
def forward_flops(network: Network, image_size: int) -> int:
    """FLOPs of one (3, `image_size`, `image_size`) image through the network."""
    with FlopCounterMode(display=False) as counter:
        network.eval()(torch.zeros(1, 3, image_size, image_size))
    return int(counter.get_total_flops())
