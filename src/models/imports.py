"""Import torchvision and run optimisers without TorchDynamo, which takes longer than torch.

torch 2.15 imports the whole compiler when the first optimiser is built, and torchvision does for
one function that only RoIAlign calls: about five seconds in each of a pipeline's processes, none
of which compiles anything. Inside `without_dynamo` a stand-in answers those imports, with
functions that do nothing; afterwards all is as before, and `torch.compile` works.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any


def _nothing(argument: Any = None, *_: Any, **__: Any) -> Any:
    """Stands for `disable(function)`, which marks a function, and for `graph_break()`."""
    return argument


@contextmanager
def without_dynamo() -> Iterator[None]:
    """Answer `import torch._dynamo` with a stand-in, unless the real one is there already."""
    if "torch._dynamo" in sys.modules:
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
        vars(sys.modules["torch"]).pop("_dynamo", None)
