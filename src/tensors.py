"""Tensors with metadata in safetensors files, the format of everything that stages hand on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

from src.files import atomic

if TYPE_CHECKING:
    from torch import Tensor

# What a damaged or foreign file raises while its tensors and metadata are taken apart.
MALFORMED = (OSError, SafetensorError, KeyError, TypeError, ValueError, RecursionError)


def save_tensors(path: Path, tensors: Mapping[str, Tensor], **metadata: Any) -> None:
    """Write atomically, each metadata value as JSON; equal arguments give equal bytes."""
    from safetensors.torch import save_file

    with atomic(path) as temporary:
        save_file(
            {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()},
            temporary,
            metadata={key: json.dumps(value) for key, value in metadata.items()},
        )


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors on the CPU, and the metadata as text, which others' files need not have as JSON.

    Raises one of MALFORMED where the file cannot be read.
    """
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return tensors, file.metadata() or {}
