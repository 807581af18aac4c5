"""Gradual unfreezing: blocks begin to train in epochs of their own, above what is still cached."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from src.config import Params, Recipe
from src.data.faceset import FaceSet
from src.models.network import ModelSpec, Network
from src.models.trainable import phases
from src.training import checkpoint as checkpoints
from src.training.cost import epoch_flops
from src.training.engine import run_job, run_seeds
from src.training.inputs import Activations, ActivationsOnDisk, Inputs
from src.training.job import TrainingJob
from src.training.loop import Plan
from src.training.networks import Frozen
from src.training.result import Epoch
from src.training.untrained import Untrained
from tests.training.conftest import make_job
from tests.training.loops import changed, run, snapshot, trained, without_cache

BLOCKS = ("conv1", "conv2_x", "conv3_x", "conv4_x", "conv5_x")
TOP_FIRST = {"base": 3, "conv5_x": 1}
FROZEN_LATER: dict[str, Any] = {"unfreeze_at": {}, "freeze_at": {"conv5_x": 4, "base": 3}}


def gradual(recipe: Recipe, **changes: Any) -> Recipe:
    return recipe.model_copy(update={"unfreeze_at": TOP_FIRST, "select": "last", **changes})


@pytest.fixture
def job(faces: FaceSet, params: Params, recipe: Recipe, tmp_path: Path) -> TrainingJob:
    """Two epochs of the last block, then two of everything."""
    return make_job(faces, params, gradual(recipe), tmp_path, train=("all",), epochs=4)


@pytest.mark.parametrize(
    ("epochs", "moved"),
    [(1, ("fc",)), (2, ("fc", "layer4")), (3, ("fc", "layer3", "layer4")), (4, ("",))],
)
def test_a_block_begins_to_train_in_its_epoch(
    epochs: int,
    moved: tuple[str, ...],
    network: Network,
    faces: FaceSet,
    spec: ModelSpec,
    recipe: Recipe,
) -> None:
    one_by_one = gradual(recipe, unfreeze_at={"conv5_x": 2, "conv4_x": 3, "base": 4})
    before = snapshot(network)
    plan = Plan(one_by_one, frozenset({*BLOCKS, "head"}), 4, 8, 0, stop=epochs)
    run(network, plan, faces, spec)
    names = changed(network, before)
    assert all(name.startswith(moved) for name in names)
    assert all(any(name.startswith(each) for name in names) for each in moved)


@pytest.mark.parametrize(
    ("train", "best", "last"), [(BLOCKS, 3, 10), (BLOCKS, 9, 12), ((), 3, 6), (("conv5_x",), 3, 6)]
)
def test_patience_waits_until_all_that_trains_has_begun_to(
    train: tuple[str, ...], best: int, last: int, recipe: Recipe
) -> None:
    patient = gradual(recipe, unfreeze_at={"base": 8, "conv5_x": 1}, patience=3)
    plan = Plan(patient, frozenset({*train, "head"}), 12, 8, 0)
    history: tuple[Epoch, ...] = ()
    while not plan.ended(history):
        number = len(history) + 1
        accuracy = 0.9 if number == best else 0.1
        history = (*history, Epoch(number, 0.1, 0.9, 0.1, accuracy, 0.01, 1.0, 1.0))
    assert len(history) == last


def test_phases_are_epochs_that_train_the_same_blocks(network: Network, recipe: Recipe) -> None:
    some = frozenset({"head", "conv4_x", "conv5_x"})
    found = phases(network, some, gradual(recipe), 5)
    assert [(each.trained, each.stop, each.epochs) for each in found] == [
        ({"head", "conv5_x"}, 4, 2),
        (some, 3, 3),
    ]
    (only,) = phases(network, some, recipe, 5)
    assert (only.trained, only.stop, only.epochs) == (some, 3, 5)
    adapting = recipe.model_copy(update={"batchnorm": "adapt"})
    assert [each.stop for each in phases(network, some, gradual(adapting), 5)] == [0, 0]


@pytest.mark.parametrize("train", [("all",), ("conv4_x", "conv5_x", "head")], ids=str)
@pytest.mark.parametrize("mixup", [0.0, 0.4])
def test_training_from_caches_equals_training_the_whole_network(
    job: TrainingJob, train: tuple[str, ...], mixup: float
) -> None:
    experiment = job.experiment.model_copy(update={"train": train})
    # Not Adam, whose first steps are signs of gradients, which magnify rounding.
    sgd = {"mixup": mixup, "optimizer": "sgd", "learning_rate": 0.002}
    job = replace(job, experiment=experiment, recipe=job.recipe.model_copy(update=sgd))
    frozen = Frozen.of(Untrained.of(job))
    starts = (4,) if train == ("all",) else (3, 4)
    assert frozen.starts == (starts, starts)
    assert Frozen.of(Untrained.of(without_cache(job))).starts == ((), ())
    deepest = frozen.training.before(5)
    assert isinstance(deepest, Activations) and frozen.training.before(4) is deepest
    assert frozen.training.before(2) is frozen.training.inputs

    cached, whole = trained(job).history, trained(without_cache(job)).history
    for one, other in zip(cached, whole, strict=True):
        assert one.train_loss == pytest.approx(other.train_loss, rel=2e-3)
        assert one.val_loss == pytest.approx(other.val_loss, rel=5e-3)


def test_a_single_epoch_is_not_worth_a_cache_of_both_views(job: TrainingJob) -> None:
    soon = job.recipe.model_copy(update={"unfreeze_at": {"base": 2, "conv5_x": 1}})
    assert Frozen.of(Untrained.of(replace(job, recipe=soon))).starts == ((), ())
    once = soon.model_copy(update={"flip": False})
    assert Frozen.of(Untrained.of(replace(job, recipe=once))).starts == ((4,), (4,))


def test_all_caches_together_stay_within_the_limit(job: TrainingJob) -> None:
    experiment = job.experiment.model_copy(update={"train": ("conv4_x", "conv5_x", "head")})
    job = replace(job, experiment=experiment)

    def caches(limit: float) -> list[Inputs]:
        """Those of training and validation images, in the order in which they are made."""
        engine = job.params.engine.model_copy(update={"cache_limit": limit})
        params = job.params.model_copy(update={"engine": engine})
        frozen = Frozen.of(Untrained.of(replace(job, params=params)))
        pairs = zip(frozen.training.cached, frozen.validation.cached, strict=True)
        return [each for pair in pairs for each in pair]

    sizes = [each.values.nbytes for each in caches(1) if isinstance(each, Activations)]
    assert len(sizes) == 4
    kinds = [[*map(type, caches((sum(sizes) + more) / 2**30))] for more in (1, -1)]
    assert kinds == [[Activations] * 4, [*[Activations] * 3, ActivationsOnDisk]]


def test_statistics_of_what_is_frozen_at_first_are_recalibrated(job: TrainingJob) -> None:
    recipe = job.recipe.model_copy(update={"batchnorm": "recalibrate"})
    statistics = {}
    for train, starts in ((("all",), TOP_FIRST), (("conv5_x", "head"), {})):
        experiment = job.experiment.model_copy(update={"train": train})
        own = recipe.model_copy(update={"unfreeze_at": starts})
        untrained = Untrained.of(replace(job, experiment=experiment, recipe=own))
        statistics[train] = Frozen.of(untrained).statistics
    one, other = statistics.values()
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("changes", [{}, FROZEN_LATER], ids=["unfrozen", "frozen later"])
@pytest.mark.parametrize("epoch", [2, 3])
def test_an_interrupted_run_resumes_to_the_same_bytes(
    epoch: int, changes: dict[str, Any], job: TrainingJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = replace(job, recipe=job.recipe.model_copy(update=changes))
    monkeypatch.setattr(checkpoints, "SECONDS_BETWEEN", 0.0)

    def stop(done: Epoch) -> None:
        if done.number == epoch:
            raise KeyboardInterrupt

    whole = trained(replace(job, scratch=job.scratch / "whole"))
    with pytest.raises(KeyboardInterrupt):
        run_job(job, stop)
    resumed = trained(job)
    assert all(torch.equal(whole.state[name], resumed.state[name]) for name in whole.state)
    assert [each.val_loss for each in whole.history] == [each.val_loss for each in resumed.history]


@pytest.mark.parametrize("changes", [{}, FROZEN_LATER], ids=["unfrozen", "frozen later"])
def test_several_seeds_share_what_is_cached_to_the_same_bytes(
    changes: dict[str, Any], job: TrainingJob
) -> None:
    job = replace(job, recipe=job.recipe.model_copy(update=changes))
    alone = [trained(replace(job, seed=seed, scratch=job.scratch / str(seed))) for seed in (0, 1)]
    together = run_seeds(job, (0, 1), lambda _epoch, _number: None)
    for one, other in zip(alone, together, strict=True):
        assert all(torch.equal(one.state[name], other.state[name]) for name in one.state)


def test_the_least_arithmetic_is_that_of_the_phases(job: TrainingJob) -> None:
    def flops(train: tuple[str, ...], epochs: int, recipe: Recipe) -> float:
        changes = {"train": train, "epochs": epochs}
        experiment = job.experiment.model_copy(update=changes)
        return epoch_flops(replace(job, experiment=experiment, recipe=recipe)) * epochs

    at_once = job.recipe.model_copy(update={"unfreeze_at": {}})
    both = flops(("conv5_x", "head"), 2, at_once) + flops(("all",), 2, at_once)
    assert flops(("all",), 4, job.recipe) == pytest.approx(both)
    assert both < flops(("all",), 4, at_once)
