"""The least arithmetic of an epoch depends on the layers and on how many images they see."""

from __future__ import annotations

from pathlib import Path

import pytest

from src.config import Params, Recipe
from src.data.faceset import FaceSet
from src.models import convolutions
from src.models.convolutions import WinogradLimits
from src.training.cost import epoch_flops
from src.training.job import TrainingJob
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
