"""Whole experiments: what freezes is frozen to the bit, however it is said; starts; crops."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from src.config import Augment, Params, Recipe
from src.data.faceset import FaceSet
from src.models.weights import random_weights
from src.training.device import Compute
from src.training.engine import run_job
from src.training.result import Epoch, TrainingResult
from src.training.untrained import Untrained
from tests.disk import full_disk
from tests.training.conftest import make_job

SGD = Recipe(
    optimizer="sgd",
    learning_rate=0.01,
    batchnorm="freeze",
    normalize=False,
    flip=True,
    select="last",
)


def run(
    faces: FaceSet, params: Params, folder: Path, recipe: Recipe, **keys: object
) -> TrainingResult:
    settings = {"train": ("all",), "epochs": 2} | keys
    return run_job(make_job(faces, params, recipe, folder, **settings), lambda _epoch: None)


def test_a_base_rate_of_zero_and_frozen_convolutions_give_the_same_bits(
    faces: FaceSet, params: Params, tmp_path: Path
) -> None:
    frozen = run(faces, params, tmp_path, SGD, train=("head",))
    zero = run(faces, params, tmp_path, SGD, multipliers={"base": 0.0})
    one_by_one = dict.fromkeys(("conv1", "conv2_x", "conv3_x", "conv4_x", "conv5_x"), 0.0)
    spelled = run(faces, params, tmp_path, SGD, multipliers=one_by_one)
    source = random_weights("resnet18", 1).state
    for other in (zero, spelled):
        assert frozen.state.keys() == other.state.keys()
        assert all(torch.equal(frozen.state[name], other.state[name]) for name in frozen.state)
    assert all(torch.equal(zero.state[name], source[name]) for name in source)


def test_a_head_on_features_trains_at_its_own_multiple_of_the_rate(
    faces: FaceSet, params: Params, tmp_path: Path
) -> None:
    fivefold = run(faces, params, tmp_path, SGD, train=("head",), multipliers={"head": 5.0})
    plain = run(faces, params, tmp_path, SGD, train=("head",), learning_rate=0.05)
    assert [epoch.learning_rate for epoch in fivefold.history] == pytest.approx([0.05, 0.05])
    assert all(torch.equal(fivefold.state[name], plain.state[name]) for name in plain.state)


def test_a_zero_below_a_trained_block_leaves_its_weights_and_statistics_alone(
    faces: FaceSet, params: Params, tmp_path: Path
) -> None:
    fitted = run(faces, params, tmp_path, SGD, multipliers={"base": 0.0, "conv5_x": 0.1})
    source = random_weights("resnet18", 1).state
    moved = {name for name in source if not torch.equal(fitted.state[name], source[name])}
    assert moved
    assert all(name.startswith("layer4.") for name in moved)


def test_from_scratch_forgets_the_source_and_nothing_else(
    faces: FaceSet, params: Params, tmp_path: Path
) -> None:
    scratch = run(faces, params, tmp_path, SGD, train=("head",), start="scratch")
    source, drawn = random_weights("resnet18", 1).state, random_weights("resnet18", 0).state
    assert all(torch.equal(scratch.state[name], drawn[name]) for name in drawn)
    assert not torch.equal(scratch.state["conv1.weight"], source["conv1.weight"])


def test_random_crops_train_whatever_trains_and_give_the_same_bits_twice(
    faces: FaceSet, params: Params, tmp_path: Path
) -> None:
    cropped = Augment(random_resized_crop=True, brightness=0.2).model_copy(
        update={"input_size": 12}
    )
    recipe = SGD.model_copy(update={"augment": cropped, "head_init": "xavier"})
    for train in (("head",), ("head", "conv5_x")):
        one = run(faces, params, tmp_path, recipe, train=train)
        two = run(faces, params, tmp_path, recipe, train=train)
        assert one.spec.crop == 12
        assert all(torch.equal(one.state[name], two.state[name]) for name in one.state)
        assert one.history[0].val_loss == two.history[0].val_loss


def test_xavier_draws_within_glorots_bound_over_zero_biases(
    faces: FaceSet, params: Params, tmp_path: Path
) -> None:
    still = SGD.model_copy(update={"head_init": "xavier", "learning_rate": 1e-30})
    head = run(faces, params, tmp_path, still, train=("head",)).state
    bound = (6 / (512 + 3)) ** 0.5
    assert 0.98 * bound < head["fc.weight"].abs().max() <= bound
    assert head["fc.bias"].abs().max() < 1e-20


def test_a_head_starts_within_torchs_bound_unless_told_otherwise(
    faces: FaceSet, params: Params, tmp_path: Path
) -> None:
    still = SGD.model_copy(update={"learning_rate": 1e-30})
    head = run(faces, params, tmp_path, still, train=("head",)).state
    bound = 512**-0.5
    assert 0.98 * bound < head["fc.weight"].abs().max() <= bound
    assert 0 < head["fc.bias"].abs().min() <= head["fc.bias"].abs().max() <= bound


def test_batchnorm_that_trains_does_so_in_frozen_blocks_too(
    faces: FaceSet, params: Params, tmp_path: Path
) -> None:
    both = {}
    for batchnorm in ("train", "adapt"):
        recipe = SGD.model_copy(update={"batchnorm": batchnorm})
        job = make_job(faces, params, recipe, tmp_path / batchnorm, train=("head",), epochs=1)
        state, source = run_job(job, lambda _epoch: None).state, job.source.state
        both[batchnorm] = {name for name in source if not torch.equal(state[name], source[name])}
    statistics = ("running_mean", "running_var", "num_batches_tracked")
    assert both["adapt"] and all(name.endswith(statistics) for name in both["adapt"])
    weights = {name for name in both["train"] - both["adapt"] if ".bn" in f".{name}"}
    assert "bn1.weight" in weights and "layer4.1.bn2.bias" in weights
    assert all(".bn" in f".{name}" or "downsample.1" in name for name in both["train"])


def test_a_cache_takes_no_more_than_its_share_of_the_memory_that_is_free(
    faces: FaceSet,
    params: Params,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for free, warned in ((2**40, False), (1000, True)):
        monkeypatch.setattr(Compute, "free_memory", lambda _self, free=free: free)
        with full_disk():
            run(faces, params, tmp_path, SGD, train=("head", "conv5_x"), epochs=1)
        assert ("neither memory nor disk has room" in capsys.readouterr().err) == warned


def test_no_room_for_a_frozen_prefix_is_told_and_trains_the_same_within_rounding(
    faces: FaceSet, params: Params, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    little = params.engine.model_copy(update={"cache_limit": 1e-9})  # GiB, so it is to be a file
    with_file = params.model_copy(update={"engine": little})
    blocks = ("head", "conv5_x")
    roomy = run(faces, with_file, tmp_path, SGD, train=blocks)
    assert not capsys.readouterr().err
    with full_disk():
        cramped = run(faces, with_file, tmp_path, SGD, train=blocks)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(",")[0] for line in lines] == [
        "warning: one: neither memory nor disk has room for what is frozen"
    ]
    for one, other in zip(roomy.history, cramped.history, strict=True):
        assert one.train_loss == pytest.approx(other.train_loss, rel=1e-2)


def test_a_result_is_calibrated_without_a_look_at_the_images(
    faces: FaceSet, params: Params, tmp_path: Path
) -> None:
    unseen = replace(faces, images=faces.images[:0])
    untrained = Untrained.of(make_job(unseen, params, SGD, tmp_path, train=("head",), epochs=1))
    history = (Epoch(1, 0.1, 0.9, 0.1, 0.9, 0.01, 1.0, 1.0),)
    result = untrained.result(history, torch.eye(3).repeat_interleave(4, 0))
    assert result.val_images == 12
    assert result.spec.temperature < 1
