"""Import torchvision and build optimizers without TorchDynamo, the front end of torch.compile.

torch 2.15 imports it when the first optimizer is built, and torchvision for one function that only
RoIAlign calls; this project compiles nothing. Without the import, torch, torchvision and a first
optimizer step take 1.25 s instead of 2.25 s in each of a pipeline's processes, more where the disk
is cold (`python -m benchmarks.libraries`). Inside `without_dynamo` a stand-in answers the import,
with functions that do nothing; afterwards the real module can be imported, and `torch.compile`
works. The stand-in has what torch `TESTED` asks it for; under any other version nothing is
replaced, which is slower but safe.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch

TESTED = "2.15."


def _nothing(argument: Any = None, *_: Any, **__: Any) -> Any:
    """Stands for `disable(function)`, which marks a function, and for `graph_break()`."""
    return argument


@contextmanager
def without_dynamo() -> Iterator[None]:
    """Replace `torch._dynamo` by a stand-in inside the block, unless it is already imported."""
    if "torch._dynamo" in sys.modules or not torch.__version__.startswith(TESTED):
        yield
        return
    dynamo, utils = ModuleType("torch._dynamo"), ModuleType("torch._dynamo.utils")
    dynamo.__dict__.update(disable=_nothing, graph_break=_nothing, utils=utils, __path__=[])
    utils.__dict__.update(is_compile_supported=lambda _device: False)
    stand_ins = {module.__name__: module for module in (dynamo, utils)}
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        for name in stand_ins:
            sys.modules.pop(name, None)
        vars(torch).pop("_dynamo", None)
