"""A fold's figures are those of an ordinary training on its images, and are computed once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from src.config import Experiment, Params
from src.crossvalidate.folds import make_folds
from src.crossvalidate.result import FoldResult
from src.crossvalidate.training import fold_job, train_folds
from src.data.faceset import FaceSet, Split
from src.models.classifier import Classifier
from src.models.network import save_network
from src.models.weights import random_weights
from src.training.engine import run_job
from src.training.job import StartingPoint

EXPERIMENTS = {
    "Baseline": {"train": ("head",), "batch_size": 8, "epochs": 4},
    "ModelA": {"train": ("head", "conv5_x"), "batch_size": 8, "epochs": 1},
    "Recalibrated": {"train": ("head",), "batch_size": 8, "epochs": 4, "recipe": "recalibrated"},
}


@pytest.fixture
def quick(params: Params) -> Params:
    entries = {name: Experiment.model_validate(entry) for name, entry in EXPERIMENTS.items()}
    engine = params.engine.model_copy(update={"device": "cpu", "precision": "float32"})
    recalibrated = params.recipes["tuned"].model_copy(update={"batchnorm": "recalibrate"})
    recipes = params.recipes | {"recalibrated": recalibrated}
    changes = {"experiments": entries, "engine": engine, "recipes": recipes}
    return params.model_copy(update=changes)


@pytest.fixture
def start(rendered: FaceSet) -> StartingPoint:
    return StartingPoint(rendered, random_weights("resnet18", 1), "faces", "source")


@pytest.fixture
def folds(rendered: FaceSet, quick: Params) -> Sequence[FaceSet]:
    return make_folds(rendered, 3, quick)


def run(
    name: str, quick: Params, start: StartingPoint, folds: Sequence[FaceSet], scratch: Path
) -> tuple[list[FoldResult], list[bool]]:
    pairs = list(train_folds(name, quick, start, folds, scratch))
    return [result for result, _ in pairs], [trained for _, trained in pairs]


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_fold_predicts_what_a_separate_training_on_its_images_predicts(
    name: str, quick: Params, start: StartingPoint, folds: Sequence[FaceSet], tmp_path: Path
) -> None:
    results, _ = run(name, quick, start, folds, tmp_path / "together")
    for fold, result in zip(folds, results, strict=True):
        job = fold_job(name, quick, start, fold, tmp_path / "alone")
        fitted = run_job(job, lambda _: None)
        save_network(tmp_path / "model.safetensors", fitted.state, fitted.spec)
        images, labels = fold.part(Split.test)
        logits = Classifier.load(tmp_path / "model.safetensors").logits(images)
        torch.testing.assert_close(result.logits, logits, rtol=1e-3, atol=1e-3)
        assert result.rows.tolist() == fold.rows(Split.test).tolist()
        assert result.correct == int((result.logits.argmax(1) == labels).sum())
        assert result.chosen == fitted.chosen.number


def test_the_images_of_a_fold_do_not_influence_its_network(
    quick: Params, start: StartingPoint, folds: Sequence[FaceSet], tmp_path: Path
) -> None:
    """The logits of one test image stay as they are when the others turn into noise."""
    (fold,) = folds[:1]
    changed = FaceSet(fold.images.clone(), fold.labels, fold.split, fold.subjects)
    changed.images[fold.rows(Split.test)[1:]] = 127
    for name in EXPERIMENTS:
        (before,), _ = run(name, quick, start, [fold], tmp_path / "a")
        (after,), _ = run(name, quick, start, [changed], tmp_path / "b")
        torch.testing.assert_close(before.logits[0], after.logits[0], rtol=1e-4, atol=1e-4)


def test_a_finished_fold_is_not_trained_again_and_a_damaged_one_is(
    quick: Params, start: StartingPoint, folds: Sequence[FaceSet], tmp_path: Path
) -> None:
    first, trained = run("Baseline", quick, start, folds, tmp_path)
    assert trained == [True] * 3
    more = quick.experiments["Baseline"].model_copy(update={"seeds": 3})  # which folds do not use
    with_more = quick.model_copy(update={"experiments": {"Baseline": more}})
    second, trained = run("Baseline", with_more, start, folds, tmp_path)
    assert trained == [False] * 3
    for one, other in zip(first, second, strict=True):
        assert torch.equal(one.logits, other.logits)
        assert (one.history, one.chosen, one.accuracy) == (
            other.history,
            other.chosen,
            other.accuracy,
        )
    damaged = sorted((tmp_path / "folds").iterdir())[0]
    damaged.write_bytes(damaged.read_bytes()[:50])
    _, trained = run("Baseline", quick, start, folds, tmp_path)
    assert sorted(trained) == [False, False, True]


def test_another_seed_recipe_or_source_trains_anew(
    quick: Params, start: StartingPoint, folds: Sequence[FaceSet], tmp_path: Path
) -> None:
    run("Baseline", quick, start, folds[:1], tmp_path)
    longer = quick.experiments["Baseline"].model_copy(update={"epochs": 5})
    other = StartingPoint(start.faces, random_weights("resnet18", 2), "faces", "another")
    for params, begin in (
        (quick.model_copy(update={"seed": 7}), start),
        (quick.model_copy(update={"experiments": {"Baseline": longer}}), start),
        (quick, other),
    ):
        assert run("Baseline", params, begin, folds[:1], tmp_path)[1] == [True]


def test_frozen_features_are_computed_once_for_all_folds(
    quick: Params, start: StartingPoint, folds: Sequence[FaceSet], tmp_path: Path
) -> None:
    run("Baseline", quick, start, folds, tmp_path)
    (features,) = tmp_path.glob("features-*")
    written = features.stat().st_mtime_ns
    run("Baseline", quick.model_copy(update={"seed": 7}), start, folds, tmp_path)
    assert features.stat().st_mtime_ns == written
    assert len([*tmp_path.glob("features-*")]) == 1
