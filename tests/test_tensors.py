"""safetensors files: the same bytes for the same tensors, whatever their layout in memory."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from src.tensors import MALFORMED, load_tensors, save_tensors


def test_tensors_and_metadata_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    tensors = {"x": torch.arange(6.0).view(2, 3), "y": torch.ones(0, 2, dtype=torch.uint8)}
    save_tensors(tmp_path / "a", tensors, about={"names": ["é", "b"]}, size=3)
    loaded, metadata = load_tensors(tmp_path / "a")
    assert loaded.keys() == tensors.keys()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in tensors.items())
    assert {key: json.loads(value) for key, value in metadata.items()} == {
        "about": {"names": ["é", "b"]},
        "size": 3,
    }


def test_the_layout_in_memory_does_not_change_the_bytes(tmp_path: Path) -> None:
    values = torch.arange(6.0, requires_grad=True).view(2, 3)
    save_tensors(tmp_path / "a", {"x": values})
    save_tensors(tmp_path / "b", {"x": values.t().contiguous().t()})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("content", [None, b"", b"junk" * 99])
def test_a_missing_or_damaged_file_raises_what_callers_catch(
    tmp_path: Path, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / "a").write_bytes(content)
    with pytest.raises(MALFORMED):
        load_tensors(tmp_path / "a")
