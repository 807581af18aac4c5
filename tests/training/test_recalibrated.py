"""BatchNorm statistics estimated anew: each image counts alike, and heads are left alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from src.config import Params
from src.data.faceset import FaceSet, Split
from src.models.network import ModelSpec, Network, build_network, normalize
from src.training.engine import run_job
from src.training.job import TrainingJob
from src.training.networks import Frozen
from src.training.prefix import BATCH, recalibrate
from src.training.result import TrainingResult
from src.training.untrained import Untrained
from tests.training.conftest import CPU32, make_job


def job_of(faces: FaceSet, params: Params, folder: Path, **experiment: object) -> TrainingJob:
    recipe = params.recipes["tuned"].model_copy(update={"batchnorm": "recalibrate"})
    return make_job(faces, params, recipe, folder, **{"epochs": 1, **experiment})


def fitted(faces: FaceSet, params: Params, folder: Path, **experiment: object) -> TrainingResult:
    """Nearest neighbours, and nothing in the scratch folder before."""
    keys = {"train": ("head",), "head": {"kind": "knn"}, **experiment}
    return run_job(job_of(faces, params, folder, **keys), lambda _epoch: None)


@pytest.mark.parametrize("block", [None, "conv4_x"])
def test_nearest_neighbours_keep_what_was_fitted(
    faces: FaceSet, params: Params, tmp_path: Path, block: str | None
) -> None:
    result = fitted(faces, params, tmp_path, features=block)
    images, labels = faces.part(Split.val)
    with torch.no_grad():
        logits = build_network(result.state, result.spec, "it")(normalize(images, result.spec))
    assert result.state["fc.labels"].tolist() == faces.part(Split.train)[1].tolist()
    assert (logits.argmax(1) == labels).float().mean() == result.chosen.val_accuracy > 0.5


def stem_mean(images: torch.Tensor, network: Network, spec: ModelSpec) -> torch.Tensor:
    """The running mean of the first norm, which sees what its convolution makes of all images."""
    recalibrate(network, frozenset(network.blocks), images, spec, CPU32)
    norm = network.get_submodule("bn1")
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    return norm.running_mean


def test_the_last_image_counts_no_more_than_others(network: Network, spec: ModelSpec) -> None:
    images = torch.zeros(BATCH + 1, 3, 16, 16, dtype=torch.uint8)
    images[-1] = 255
    found = stem_mean(images, network, spec)
    with torch.no_grad():
        last = network.get_submodule("conv1")(normalize(images[-1:], spec)).mean((0, 2, 3))
    torch.testing.assert_close(found, last / len(images), rtol=0.05, atol=1e-6)


def test_an_image_more_than_a_batch_is_not_normalised_alone(
    network: Network, spec: ModelSpec
) -> None:
    """Images of 16 pixels leave the last block one each, of which one image has no variance."""
    small = replace(spec, stem="standard")
    own = Network(small)
    own.load_state_dict(network.state_dict())
    images = torch.randint(0, 255, (BATCH + 1, 3, 16, 16), dtype=torch.uint8)
    recalibrate(own, frozenset(own.blocks), images, small, CPU32)
    assert all(buffer.isfinite().all() for buffer in own.buffers())


def test_nothing_is_run_where_no_block_is_frozen_at_first(
    faces: FaceSet, params: Params, tmp_path: Path
) -> None:
    untrained = Untrained.of(job_of(faces, params, tmp_path, train=("all",)))
    before = {name: buffer.clone() for name, buffer in untrained.network.named_buffers()}
    runs: list[nn.Module] = []
    untrained.network.get_submodule("conv1").register_forward_hook(
        lambda module, *_: runs.append(module)
    )
    statistics = Frozen.of(untrained).statistics
    assert not runs
    assert all(torch.equal(statistics[name], before[name]) for name in before)
