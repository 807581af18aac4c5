"""What torch does with float32 and determinism when nobody tells it, for loops that are not ours.

The engine and the loop that it is compared with share a process, and these settings are global.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def as_torch_is(tf32: bool | None = None) -> Iterator[None]:
    """Inside the block, torch's defaults in place of what `src.training.device` sets for a GPU.

    tf32: as in `benchmarks.plain.Terms`.
    """
    deterministic = torch.get_deterministic_debug_mode()
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    torch.set_deterministic_debug_mode("default")
    matmul.allow_tf32, cudnn.allow_tf32 = (False, True) if tf32 is None else (tf32, tf32)
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode(deterministic)
        matmul.allow_tf32, cudnn.allow_tf32 = before


def allowed_tf32() -> dict[str, bool]:
    """Of which float32 products a GPU may now round the factors to TF32."""
    backends = torch.backends
    return {"matmul": backends.cuda.matmul.allow_tf32, "cudnn": backends.cudnn.allow_tf32}
