"""Caches of activations: a file gives back what memory does."""

from pathlib import Path

import pytest
import torch

from src import paths
from src.training.prefix import allocate

CPU = torch.device("cpu")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("row", [(4, 4, 3), (7,)])
def test_a_file_gives_back_the_same_rows_as_memory(
    row: tuple[int, ...], dtype: torch.dtype
) -> None:
    values = torch.randn(2, 10, *row).to(dtype)
    caches = [allocate(tuple(values.shape), dtype, CPU, budget, 2) for budget in (1 << 20, 0)]
    rows, views = torch.tensor([9, 0, 3, 3]), torch.tensor([1, 0, 1, 0])
    batches = []
    for cache in caches:
        assert cache is not None and len(cache) == 10 and cache.start == 2
        for view in range(2):
            for first in (8, 0, 4):
                cache.put(view, first, values[view, first : first + 4])
        batches.append(cache.batch(rows, views))
    memory, file = batches
    assert torch.equal(memory, file)
    assert memory.stride() == file.stride(), "the layout in memory decides how fast it is used"


def test_a_file_that_lost_its_end_is_noticed() -> None:
    cache = allocate((1, 4, 8), torch.float32, CPU, 0, 1)
    assert cache is not None
    cache.put(0, 0, torch.zeros(2, 8))
    with pytest.raises(OSError, match="shorter"):
        cache.batch(torch.tensor([3]), torch.tensor([0]))


def test_a_scratch_folder_that_cannot_be_written_is_no_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("params.yaml", paths.SCRATCH):
        Path(name).touch()
    assert allocate((1, 4, 8), torch.float32, CPU, 0, 1) is None


def test_what_fits_nowhere_is_not_cached() -> None:
    assert allocate((2, 1 << 30, 1 << 20), torch.float32, CPU, 1, 1) is None
    assert allocate((1, 4, 8), torch.float32, torch.device("meta"), 0, 1) is None
