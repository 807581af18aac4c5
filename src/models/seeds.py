"""The networks of one experiment's seeds in two files: the first, and how the others differ.

Most seeds share most tensors, those of the frozen blocks, which are not stored again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from src.errors import StaleInputError, WeightsError
from src.tensors import MALFORMED, load_tensors, save_tensors


def save_seed_states(
    path: Path,
    seeds: Sequence[int],
    first: Mapping[str, Tensor],
    further: Sequence[Mapping[str, Tensor]],
) -> None:
    """Write atomically what the states of `seeds[1:]`, in `further`, do not share with `first`.

    A tensor is stored as `k/name`, k being the place of its seed among `seeds`.
    """
    changed = {
        f"{place}/{name}": tensor
        for place, state in enumerate(further, start=1)
        for name, tensor in state.items()
        if not torch.equal(tensor, first[name])
    }
    save_tensors(path, changed, seeds=list(seeds))


def load_seed_states(path: Path, first: Mapping[str, Tensor]) -> tuple[Mapping[str, Tensor], ...]:
    """The state of every seed's network, beginning with `first`.

    Raises WeightsError if `path` is not a file of `save_seed_states`, StaleInputError if it was
    written beside another network than `first`.
    """
    mend = "run `dvc repro` to make it"
    try:
        tensors, metadata = load_tensors(path)
        states = [dict(first) for _ in json.loads(metadata["seeds"])]
        for key, tensor in tensors.items():
            place, _, name = key.partition("/")
            if name not in first or tensor.shape != first[name].shape:
                what = "the networks of further seeds do not fit the first seed's"
                raise StaleInputError(str(path), what, mend)
            states[int(place)][name] = tensor
    except (*MALFORMED, IndexError):
        what = "not the networks of an experiment's further seeds"
        raise WeightsError(str(path), what, mend) from None
    return tuple(states)
