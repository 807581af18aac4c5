"""Two ranks end where one process does, and each holds only its share."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from src.closure import ROOT
from src.config import Params
from src.errors import ConfigError, lone_value
from src.tensors import load_tensors
from src.training.device import Compute, resolve
from src.training.engine import check_ranks, run_seeds
from src.training.fingerprint import Fingerprint
from src.training.order import epoch_order
from src.training.ranks import ALONE, Ranks
from tests.training import on_ranks
from tests.training.conftest import CPU32
from tests.training.on_ranks import CASES, SHARES, job_of, norm_example, tensors_of

TWO = Compute(CPU32.device, torch.float32, Ranks(0, 2, 0, 2))
# In float32: of a tensor's norm, and of biases that are near zero in all. Changes of the source
# weights by 1e-7 of them, their rounding, make a larger difference to one process (ResNet-18's last
# block: 1e-2 of the norm, against 1e-5 between one and two ranks).
RELATIVE, ABSOLUTE = 1e-3, 1e-4


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `on_ranks` left."""
    folder = tmp_path_factory.mktemp("ranks")
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    command += ["-m", on_ranks.__name__, str(folder)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    subprocess.run(command, env=environment, cwd=ROOT, check=True, timeout=300)
    return folder


def left_by(rank: int, folder: Path, name: str) -> dict[str, Tensor]:
    tensors, _ = load_tensors(folder / f"{name}.{rank}.safetensors")
    return tensors


@pytest.mark.long
@pytest.mark.parametrize("case", CASES)
def test_two_ranks_end_where_one_process_does(
    folder: Path, params: Params, tmp_path: Path, case: str
) -> None:
    job = job_of(params, case, tmp_path, CPU32)
    alone = tensors_of(run_seeds(job, on_ranks.seeds(case), lambda *_: None))
    first, second = (left_by(rank, folder, case) for rank in (0, 1))
    assert first.keys() == alone.keys()
    for name, tensor in alone.items():
        assert torch.equal(first[name], second[name]), name
        if name.endswith("scores"):
            losses, accuracies = [0, 2], [1, 3]
            torch.testing.assert_close(first[name][:, losses], tensor[:, losses], rtol=1e-3, atol=0)
            off = (first[name][:, accuracies] - tensor[:, accuracies]).abs()
            assert off.max() < 0.1  # of 25 images and of 13, two and one of which are on the edge
        else:
            difference = (first[name].double() - tensor.double()).norm()
            assert difference <= RELATIVE * tensor.double().norm() + ABSOLUTE, name


@pytest.mark.parametrize("case", CASES)
def test_each_rank_holds_its_share_of_the_rows(
    folder: Path, params: Params, tmp_path: Path, case: str
) -> None:
    alone = on_ranks.held(job_of(params, case, tmp_path, CPU32))
    held = [json.loads((folder / f"{case}.{rank}.json").read_text()) for rank in (0, 1)]
    assert [rows for rows, _ in held] == [13, 12]
    assert [sum(each) for each in zip(*held, strict=True)] == alone


@pytest.mark.parametrize("share", SHARES)
def test_a_norm_over_ranks_is_the_norm_of_the_whole_batch(folder: Path, share: int) -> None:
    first, second = (left_by(rank, folder, f"norm{share}") for rank in (0, 1))
    for number, expected in enumerate(norm_example(slice(None), ALONE)):
        own = [first[str(number)], second[str(number)]]
        found = torch.cat(own) if number < 2 else own[0]  # output and gradient are of own images
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_lone_value_of_all_ranks_is_refused_as_in_one_process(folder: Path, rank: int) -> None:
    said = (folder / f"lone.{rank}.txt").read_text()
    assert lone_value(ValueError(said)) is not None, said


def shares(count: int, images: int, size: int) -> Iterator[list[tuple[Tensor, Tensor, int]]]:
    rows, views = epoch_order(0, 1, images, flip=True)
    for number in range(count):
        yield [*Ranks(number, count).batches(rows, views, size, CPU32.device)]


@pytest.mark.parametrize(("count", "images", "size"), [(1, 25, 8), (2, 25, 8), (3, 25, 2)])
def test_the_ranks_batches_are_those_of_one_process(count: int, images: int, size: int) -> None:
    rows, views = epoch_order(0, 1, images, flip=True)
    parts = [*zip(*shares(count, images, size), strict=True)]
    assert len(parts) == -(-images // size)
    for batch, (expected, flipped) in zip(
        parts, zip(rows.split(size), views.split(size), strict=True), strict=True
    ):
        pairs = [
            (int(row) * count + rank, int(view))
            for rank, (own, own_views, _) in enumerate(batch)
            for row, view in zip(own, own_views, strict=True)
        ]
        assert sorted(pairs) == sorted(zip(expected.tolist(), flipped.tolist(), strict=True))
        assert {whole for _, _, whole in batch} == {len(expected)}


@pytest.mark.parametrize(
    ("experiment", "count", "said"),
    [
        ({"train": ("head",)}, 2, "experiments.one: only its head trains, .*; run python -m"),
        ({"head": {"kind": "svm"}, "train": ("head",), "epochs": 1}, 2, "only its head trains"),
        (
            {"head": {"hidden": (8,), "dropout": (0.5,)}},
            2,
            "experiments.one.head.dropout: dropout draws for whole batches, .*; set it to 0",
        ),
        ({}, 14, "14 processes, and only 13 images in a split; start at most 13"),
    ],
)
def test_what_ranks_cannot_divide_is_refused(
    params: Params, tmp_path: Path, experiment: dict[str, object], count: int, said: str
) -> None:
    job = job_of(params, "a cached prefix", tmp_path, CPU32)
    keys = job.experiment.model_dump() | experiment
    job = replace(job, experiment=type(job.experiment).model_validate(keys))
    check_ranks(job)
    with pytest.raises(ConfigError, match=said):
        check_ranks(replace(job, compute=replace(CPU32, ranks=Ranks(0, count, 0, count))))


def test_blocks_that_draw_at_random_are_refused(params: Params, tmp_path: Path) -> None:
    model = params.model.model_copy(update={"backbone": "efficientnet_b0", "stem": "standard"})
    job = job_of(params, "a cached prefix", tmp_path, TWO)
    job = replace(job, params=job.params.model_copy(update={"model": model}))
    for train, refused in (("features.8", False), ("features.7", True)):
        blocks = job.experiment.model_copy(update={"train": ("head", train)})
        changed = replace(job, experiment=blocks)
        if refused:
            with pytest.raises(ConfigError, match=r"experiments.one.train: blocks of effic.*rand"):
                check_ranks(changed)
        else:
            check_ranks(changed)


def test_mixed_images_are_refused(params: Params, tmp_path: Path) -> None:
    job = job_of(params, "a cached prefix", tmp_path, TWO)
    check_ranks(job)
    mixing = replace(job, recipe=job.recipe.model_copy(update={"mixup": 0.4}))
    with pytest.raises(ConfigError, match=r"experiments.one: recipe: mixes images.*mixup to 0"):
        check_ranks(mixing)


def test_ranks_share_the_memory_of_their_machine_and_have_a_fingerprint_of_their_own() -> None:
    assert resolve("cpu", "float32", TWO.ranks) == TWO
    assert TWO.free_memory() < 0.75 * CPU32.free_memory()
    assert Fingerprint.of(TWO).differences(Fingerprint.of(CPU32)) == ("ranks 2 against 1",)
    tags = {key: value for key, value in Fingerprint.of(CPU32).tags.items() if "ranks" not in key}
    assert Fingerprint.from_tags(tags) == Fingerprint.of(CPU32)
