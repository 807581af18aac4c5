"""The least arithmetic of an epoch depends on the layers and on how many images they see."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from src.config import Augment, Params, Recipe
from src.data.faceset import FaceSet
from src.models import convolutions
from src.models.convolutions import WinogradLimits
from src.models.network import Network
from src.training.cost import epoch_flops
from src.training.job import TrainingJob
from src.training.untrained import Untrained
from tests.training.conftest import make_job


def test_the_least_arithmetic_counts_the_second_view_of_validation_images(
    faces: FaceSet, params: Params, recipe: Recipe, tmp_path: Path
) -> None:
    def flops(both: bool) -> float:
        changed = recipe.model_copy(update={"flip_test": both})
        job: TrainingJob = make_job(faces, params, changed, tmp_path, train=("all",), epochs=1)
        return epoch_flops(job)

    # 24 images forward and back, which is thrice the arithmetic of forward alone but for the
    # gradient of the image, and 12 validation images forward.
    assert 1 < flops(True) / flops(False) < 1 + 12 / (2 * 24)


def test_the_least_arithmetic_is_that_of_the_layers_however_they_are_run(
    faces: FaceSet, params: Params, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job(faces, params, recipe, tmp_path, train=("all",), epochs=1)
    layers = epoch_flops(job)
    all_of_them = WinogradLimits(channels=1, tiles=1, pixels=0)
    monkeypatch.setattr(convolutions, "WINOGRAD", all_of_them)
    assert epoch_flops(job) == layers


def below(job: TrainingJob, stop: int) -> int:
    """FLOPs of one image's way through the first blocks."""
    network = Network(job.spec()).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.run(torch.zeros(1, 3, 16, 16), 0, stop)
    return int(counter.get_total_flops())


@pytest.mark.parametrize("augment", [{"random_resized_crop": True}, {"hue": 0.1}], ids=str)
def test_what_is_frozen_runs_in_every_epoch_for_images_that_change(
    faces: FaceSet, params: Params, recipe: Recipe, tmp_path: Path, augment: dict[str, Any]
) -> None:
    recipe = recipe.model_copy(update={"unfreeze_at": {"conv4_x": 3}})
    train = {"train": ("head", "conv4_x", "conv5_x"), "epochs": 5}
    fixed = make_job(faces, params, recipe, tmp_path, **train)
    changing = recipe.model_copy(update={"augment": Augment(**augment)})
    job = make_job(faces, params, changing, tmp_path, **train)
    # 24 training images, of which either both views run once, or one in each of the epochs: two up
    # to the last block, three up to the one before.
    once = 2 * 24 * below(job, 4)
    more = 24 * (2 * below(job, 4) + 3 * below(job, 3)) - once
    assert 5 * epoch_flops(job) == pytest.approx(5 * epoch_flops(fixed) + more, rel=1e-12)


@pytest.mark.parametrize("kind", ["svm", "knn"])
@pytest.mark.parametrize("change", [{"batchnorm": "train"}, {"augment": Augment(hue=0.1)}], ids=str)
def test_a_head_that_is_fitted_once_costs_its_features_whatever_the_recipe(
    faces: FaceSet,
    params: Params,
    recipe: Recipe,
    tmp_path: Path,
    kind: str,
    change: dict[str, Any],
) -> None:
    fitted = {"train": ("head",), "head": {"kind": kind}, "epochs": 1}
    job = make_job(faces, params, recipe, tmp_path, **fitted)
    other = make_job(faces, params, recipe.model_copy(update=change), tmp_path, **fitted)
    assert epoch_flops(other) == epoch_flops(job)
    assert Untrained.of(other).trainable == Untrained.of(job).trainable
