"""Freezing on the way: blocks stop training in epochs of their own, and their outputs are kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from src.config import Params, Recipe
from src.data.faceset import FaceSet
from src.models.network import ModelSpec, Network
from src.models.trainable import phases
from src.training.cost import epoch_flops
from src.training.inputs import Activations, ActivationsOnDisk, Inputs
from src.training.job import TrainingJob
from src.training.loop import Examples, Plan, train
from src.training.networks import Frozen
from src.training.untrained import Untrained
from tests.training.conftest import make_job
from tests.training.loops import changed, run, snapshot, trained, without_cache

BLOCKS = ("conv4_x", "conv5_x", "head")
THERE_AND_BACK: dict[str, Any] = {
    "unfreeze_at": {"conv5_x": 1, "conv4_x": 3},
    "freeze_at": {"conv4_x": 5},
}


def freezing(recipe: Recipe, **changes: Any) -> Recipe:
    own = {"freeze_at": {"conv4_x": 3}, "select": "last", **changes}
    return recipe.model_copy(update=own)


@pytest.fixture
def job(faces: FaceSet, params: Params, recipe: Recipe, tmp_path: Path) -> TrainingJob:
    """Two epochs of the last two blocks, then two of the last."""
    return make_job(faces, params, freezing(recipe), tmp_path, train=BLOCKS, epochs=4)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_block_ends_training_before_its_epoch(
    optimizer: str, network: Network, faces: FaceSet, spec: ModelSpec, recipe: Recipe
) -> None:
    """Its weights and statistics stay, whatever decay and momentum would do to them."""
    one_by_one = freezing(recipe, optimizer=optimizer, weight_decay=0.1)
    plan = Plan(one_by_one, frozenset(BLOCKS), 4, 8, 0, stop=2)
    start = snapshot(network)
    run(network, plan, faces, spec)
    assert any(name.startswith("layer3") for name in changed(network, start))
    half = snapshot(network)
    network.load_state_dict(start)
    run(network, replace(plan, stop=None), faces, spec)
    moved = changed(network, half)
    assert {name.split(".")[0] for name in moved} == {"layer4", "fc"}


def test_phases_end_where_a_block_is_frozen(network: Network, recipe: Recipe) -> None:
    found = phases(network, frozenset(BLOCKS), freezing(recipe, **THERE_AND_BACK), 6)
    assert [(each.stop, each.epochs) for each in found] == [(4, 2), (3, 2), (4, 2)]
    everything = frozenset({*network.blocks, "head"})
    found = phases(network, everything, freezing(recipe, freeze_at={"base": 3}), 4)
    assert [(each.stop, each.epochs) for each in found] == [(0, 2), (5, 2)]
    assert found[1].trained == {"head"}


@pytest.mark.parametrize("mixup", [0.0, 0.4])
@pytest.mark.parametrize(
    ("changes", "epochs"),
    [({}, 4), (THERE_AND_BACK, 6), (THERE_AND_BACK, 5)],
    ids=["freezes", "there and back", "too short to keep anything anew"],
)
def test_training_from_what_is_kept_equals_training_the_whole_network(
    job: TrainingJob, changes: dict[str, Any], epochs: int, mixup: float
) -> None:
    # Not Adam, whose first steps are signs of gradients, which magnify rounding.
    sgd = {"mixup": mixup, "optimizer": "sgd", "learning_rate": 0.002}
    recipe = job.recipe.model_copy(update=sgd | changes)
    experiment = job.experiment.model_copy(update={"epochs": epochs})
    job = replace(job, recipe=recipe, experiment=experiment)
    cached, whole = trained(job).history, trained(without_cache(job)).history
    for one, other in zip(cached, whole, strict=True):
        assert one.train_loss == pytest.approx(other.train_loss, rel=2e-3)
        assert one.val_loss == pytest.approx(other.val_loss, rel=5e-3)


@pytest.mark.parametrize(("epochs", "made"), [(4, [(4, 2), (4, 1)]), (3, [])])
def test_outputs_are_kept_once_where_there_are_epochs_enough(
    epochs: int, made: list[tuple[int, int]], job: TrainingJob
) -> None:
    """Of both views of training images, and of validation images; one epoch is not worth it."""
    untrained = Untrained.of(job)
    frozen, asked = Frozen.of(untrained), []
    assert frozen.starts == ((3,), (3,)), "the outputs of conv4_x would not last"

    def cache(examples: Examples, stop: int, views: int) -> Examples:
        asked.append((stop, views))
        return examples

    plan = Plan(job.recipe, untrained.trained, epochs, 8, 0)
    examples = (frozen.training, frozen.validation)
    train(untrained.network, plan, *examples, job.compute, lambda _epoch: None, cache=cache)
    assert asked == made


def test_what_neither_memory_nor_disk_has_room_for_is_computed_in_every_epoch(
    job: TrainingJob, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    frozen = Frozen.of(Untrained.of(job))
    monkeypatch.setattr("src.training.prefix.allocate", lambda *_: None)
    cache = frozen.cache(job, Untrained.of(job).network)
    assert cache is not None and cache(frozen.training, 4, 2) is frozen.training
    assert "neither memory nor disk has room" in capsys.readouterr().err


def test_what_is_kept_on_the_way_counts_towards_the_limit(job: TrainingJob) -> None:
    def caches(limit: float) -> list[Inputs]:
        """Of conv3_x and then of conv4_x, of training and validation images each."""
        engine = job.params.engine.model_copy(update={"cache_limit": limit})
        own = replace(job, params=job.params.model_copy(update={"engine": engine}))
        untrained = Untrained.of(own)
        frozen = Frozen.of(untrained)
        cache = frozen.cache(own, untrained.network)
        assert cache is not None
        both = [cache(examples, 4, 1) for examples in (frozen.training, frozen.validation)]
        return [each.cached[number] for number in (0, 1) for each in both]

    sizes = [each.values.nbytes for each in caches(1) if isinstance(each, Activations)]
    assert len(sizes) == 4
    kinds = [[*map(type, caches((sum(sizes) + more) / 2**30))] for more in (1, -1)]
    assert kinds == [[Activations] * 4, [*[Activations] * 3, ActivationsOnDisk]]


def test_the_least_arithmetic_is_that_of_the_phases(job: TrainingJob) -> None:
    def flops(train: tuple[str, ...], epochs: int, recipe: Recipe) -> float:
        changes = {"train": train, "epochs": epochs}
        experiment = job.experiment.model_copy(update=changes)
        return epoch_flops(replace(job, experiment=experiment, recipe=recipe)) * epochs

    throughout = job.recipe.model_copy(update={"freeze_at": {}})
    last = flops(("conv5_x", "head"), 2, throughout)
    both = flops(BLOCKS, 2, throughout)
    shared = flops(BLOCKS, 1, throughout) * 2 - both  # the outputs of conv3_x, in either
    assert flops(BLOCKS, 4, job.recipe) == pytest.approx(last + both - shared)
