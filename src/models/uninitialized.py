"""Building networks without filling their parameters, where weights are loaded next.

On the meta device, which holds no values, a single random draw makes torch import TorchDynamo: more
than a second in every process that checks the layout of its source weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

DRAWS = ("normal_", "uniform_")  # methods of Tensor by which layers fill their parameters


class Uninitialized(TorchFunctionMode):
    """Inside the block, new parameters keep whatever was in their memory."""

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Leave out what fills a tensor with initial values; run everything else."""
        kwargs = kwargs or {}
        if getattr(func, "__module__", "") == "torch.nn.init":
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        if getattr(func, "__name__", "") in DRAWS:
            return args[0]
        return func(*args, **kwargs)


@contextmanager
def without_values() -> Iterator[None]:
    """Inside the block, new networks are on the meta device: names, shapes and types, no memory."""
    with torch.device("meta"), Uninitialized():
        yield
