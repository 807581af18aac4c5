"""Recalibrated BatchNorm statistics are those of the training images, and of nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import update_bn

from src.config import Params, Recipe
from src.data.faceset import FaceSet, Split
from src.training import prefix
from src.training.engine import run_job
from src.training.features import Features
from src.training.job import TrainingJob, make_features, recalibrate_blocks
from tests.training.conftest import make_job
from tests.training.loops import changed, snapshot, torchvision_network

BELOW = ("conv1", "bn1", "layer1", "layer2", "layer3")  # torchvision's names, up to conv4_x


@pytest.fixture
def job(faces: FaceSet, params: Params, recipe: Recipe, tmp_path: Path) -> TrainingJob:
    """One that recalibrates statistics of a source that has seen many images unlike these."""
    recipe = recipe.model_copy(update={"batchnorm": "recalibrate", "normalize": True})
    job = make_job(faces, params, recipe, tmp_path, train=("head", "conv5_x"), epochs=1)
    source = job.starting_point.source
    state = {
        name: tensor + 7 if name.endswith(("running_mean", "running_var", "tracked")) else tensor
        for name, tensor in source.state.items()
    }
    point = replace(job.starting_point, source=replace(source, state=state))
    return replace(job, starting_point=point)


def training_images(job: TrainingJob) -> Tensor:
    images, _ = job.starting_point.faces.part(Split.train)
    source = job.starting_point.source
    mean, deviation = (torch.tensor(each).view(3, 1, 1) for each in (source.mean, source.deviation))
    return (images / 255 - mean) / deviation


def recalibrated_by_torch(job: TrainingJob) -> nn.Module:
    """torchvision's network without a head, with statistics by torch's own function for that."""
    model = torchvision_network(job.source.state)
    update_bn([training_images(job)], model.train())
    return model.eval()


def test_statistics_are_means_over_batches_of_training_images_and_only_of_the_blocks_asked_for(
    job: TrainingJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prefix, "BATCH", 8)
    network = job.network()
    before = snapshot(network)
    recalibrate_blocks(job, network, frozenset({"conv1"}))
    assert changed(network, before) == {
        "bn1.running_mean",
        "bn1.running_var",
        "bn1.num_batches_tracked",
    }
    maps = F.conv2d(training_images(job), before["conv1.weight"], stride=1, padding=3)
    batches = [each.transpose(0, 1).flatten(1) for each in maps.split(8)]
    mean = torch.stack([each.mean(1) for each in batches]).mean(0)
    variance = torch.stack([each.var(1) for each in batches]).mean(0)
    norm = network.get_submodule("bn1")
    torch.testing.assert_close(norm.running_mean, mean, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(norm.running_var, variance, rtol=1e-3, atol=1e-4)
    assert norm.momentum == 0.1 and not norm.training


def test_features_are_of_a_wholly_recalibrated_network_and_come_with_its_statistics(
    job: TrainingJob,
) -> None:
    features = make_features(job)
    expected = recalibrated_by_torch(job)
    for name, buffer in expected.named_buffers():
        if not name.endswith("tracked"):
            torch.testing.assert_close(features.buffers[name], buffer, rtol=1e-3, atol=1e-3)
    with torch.no_grad():
        values = expected(training_images(job))
    torch.testing.assert_close(features.values[0], values, rtol=1e-2, atol=1e-2)


def test_features_come_with_their_statistics_from_a_file_too(
    job: TrainingJob, tmp_path: Path
) -> None:
    made = make_features(job)
    made.save(tmp_path / "features.safetensors")
    found = Features.load(tmp_path / "features.safetensors").buffers
    assert made.buffers and found.keys() == made.buffers.keys()
    assert all(torch.equal(found[name], buffer) for name, buffer in made.buffers.items())


def test_what_is_frozen_below_a_trained_block_is_recalibrated(job: TrainingJob) -> None:
    state = run_job(job, lambda _epoch: None).state
    for name, tensor in recalibrated_by_torch(job).state_dict().items():
        if name.startswith(BELOW) and not name.endswith("tracked"):
            torch.testing.assert_close(state[name], tensor, rtol=1e-3, atol=1e-3)
