"""The stand-in for the compiler: there while it is asked for, gone afterwards."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from src.models.imports import without_dynamo

PROGRAM = """
import sys, torch
from src.models.imports import without_dynamo
from src.models.network import ModelSpec, Network
spec = ModelSpec(backbone="resnet18", stem="stride1", image_size=32, subjects=("a", "b"))
network = Network(spec)
with without_dynamo():
    optimizer = torch.optim.AdamW(network.parameters(), fused=True)
    network(torch.rand(2, 3, 32, 32)).sum().backward()
    optimizer.step()
print("torch._dynamo" in sys.modules)
import torch._dynamo
print(callable(torch._dynamo.optimize))
"""


def test_an_untested_torch_gets_the_real_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "__version__", "9.9.0")
    monkeypatch.delitem(sys.modules, "torch._dynamo", raising=False)
    with without_dynamo():
        assert "torch._dynamo" not in sys.modules


def test_training_imports_no_compiler_and_the_real_one_is_there_afterwards() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "True"]
