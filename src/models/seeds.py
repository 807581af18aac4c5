"""The networks of an experiment's further seeds, stored as differences from the first's.

Most experiments freeze most of the network, which all seeds then have in common.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from src.errors import WeightsError
from src.tensors import MALFORMED, load_tensors, save_tensors


def save_seed_states(
    path: Path,
    seeds: Sequence[int],
    first: Mapping[str, Tensor],
    further: Sequence[Mapping[str, Tensor]],
) -> None:
    """Write atomically; `seeds` are all, the first one's included, whose state is `first`."""
    tensors = {
        f"{place}/{name}": tensor
        for place, state in enumerate(further, 1)
        for name, tensor in state.items()
        if not tensor.cpu().equal(first[name].cpu())
    }
    save_tensors(path, tensors, seeds=list(seeds))


def load_seed_states(path: Path, first: Mapping[str, Tensor]) -> tuple[Mapping[str, Tensor], ...]:
    """The states of all seeds, `first` first; raises WeightsError."""
    try:
        tensors, metadata = load_tensors(path)
        count = len(json.loads(metadata["seeds"]))
        states: list[dict[str, Tensor]] = [dict(first) for _ in range(count)]
        for key, tensor in tensors.items():
            place, name = key.split("/", 1)
            states[int(place)][name] = tensor
        return tuple(states)
    except (*MALFORMED, IndexError):
        raise WeightsError(
            str(path), "not the networks of further seeds", "run `dvc repro` to make them"
        ) from None
