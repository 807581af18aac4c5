"""The networks of several seeds come back from two files, which share what the seeds share."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from src.errors import StaleInputError, WeightsError
from src.models.seeds import load_seed_states, save_seed_states
from src.tensors import load_tensors, save_tensors


def state(head: float) -> dict[str, Tensor]:
    return {
        "conv.weight": torch.arange(12.0).view(3, 4),
        "norm.count": torch.tensor(7),
        "fc.weight": torch.full((2, 3), head),
    }


@pytest.fixture
def path(tmp_path: Path) -> Path:
    save_seed_states(tmp_path / "seeds", (4, 5, 6), state(0.0), [state(1.0), state(2.0)])
    return tmp_path / "seeds"


def test_every_seed_comes_back_bit_for_bit(path: Path) -> None:
    loaded = load_seed_states(path, state(0.0))
    assert len(loaded) == 3
    for found, head in zip(loaded, (0.0, 1.0, 2.0), strict=True):
        assert found.keys() == state(head).keys()
        assert all(torch.equal(found[name], tensor) for name, tensor in state(head).items())


def test_only_what_differs_from_the_first_is_stored(path: Path) -> None:
    tensors, metadata = load_tensors(path)
    assert tensors.keys() == {"1/fc.weight", "2/fc.weight"}
    assert metadata["seeds"] == "[4, 5, 6]"


def test_one_seed_stores_no_tensors(tmp_path: Path) -> None:
    save_seed_states(tmp_path / "one", (0,), state(0.0), [])
    assert load_tensors(tmp_path / "one")[0] == {}
    (only,) = load_seed_states(tmp_path / "one", state(0.0))
    assert torch.equal(only["fc.weight"], state(0.0)["fc.weight"])


@pytest.mark.parametrize("name", ["fc.weight", "fc.bias"])
def test_networks_of_another_kind_than_the_first_are_stale(path: Path, name: str) -> None:
    other = {**state(0.0), "fc.weight": torch.zeros(5, 3)}
    if name == "fc.bias":
        del other["fc.weight"]
    with pytest.raises(StaleInputError, match="do not fit the first seed's; run `dvc repro`"):
        load_seed_states(path, other)


def test_another_file_is_refused(tmp_path: Path) -> None:
    bad = tmp_path / "bad"
    with pytest.raises(WeightsError, match="not the networks of an experiment's further seeds"):
        load_seed_states(bad, state(0.0))
    save_tensors(bad, {"9/fc.weight": torch.zeros(2, 3)}, seeds=[0, 1])
    with pytest.raises(WeightsError, match="not the networks"):
        load_seed_states(bad, state(0.0))
    save_tensors(bad, {"fc.weight": torch.zeros(2, 3)})
    with pytest.raises(WeightsError, match="not the networks"):
        load_seed_states(bad, state(0.0))
