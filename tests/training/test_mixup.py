"""Mixup mixes images and labels in pairs that the seed and the epoch decide."""

from __future__ import annotations

from pathlib import Path

import pytest
import scipy.stats
import torch
from torch.nn import functional as F

from src.config import Params, Recipe
from src.data.faceset import FaceSet, Split
from src.models.network import ModelSpec, Network
from src.models.trainable import frozen_prefix
from src.training.accumulation import Accumulation
from src.training.engine import run_job
from src.training.inputs import Activations, ImageInputs
from src.training.loop import Examples, Plan, train
from src.training.mixup import MixedInputs, mix
from src.training.prefix import cache_prefix
from tests.training.conftest import CPU32, make_job


def features(images: int, width: int = 5) -> Activations:
    values = torch.randn(2, images, width, generator=torch.Generator().manual_seed(1))
    return Activations(values, 4)


def mixed(images: int = 12, alpha: float = 0.4, epoch: int = 1) -> MixedInputs:
    labels = torch.arange(images) % 3
    return mix(features(images), labels, alpha, flip=True, seed=7, epoch=epoch)


def test_pairs_are_those_of_the_seed_and_the_epoch() -> None:
    one, again, later = mixed(), mixed(), mixed(epoch=2)
    for name in ("partners", "partner_views", "shares"):
        assert torch.equal(getattr(one, name), getattr(again, name))
    assert not torch.equal(one.partners, later.partners)
    assert not torch.equal(one.shares, later.shares)
    assert sorted(one.partners.tolist()) == list(range(12)), "each image is a partner once"
    assert set(one.partner_views.tolist()) == {0, 1}


def test_no_partner_is_flipped_by_a_recipe_that_flips_none() -> None:
    found = mix(features(9), torch.zeros(9, dtype=torch.int64), 1.0, flip=False, seed=0, epoch=1)
    assert not found.partner_views.any()


@pytest.mark.parametrize("alpha", [0.5, 1.0])
def test_shares_are_the_larger_of_a_beta_distributed_pair(alpha: float) -> None:
    shares = mixed(4000, alpha).shares.double().numpy()
    assert shares.min() >= 0.5
    beta = scipy.stats.beta(alpha, alpha)
    assert scipy.stats.kstest(shares, lambda x: 2 * beta.cdf(x) - 1).pvalue > 0.01


def test_a_batch_is_each_image_mixed_with_its_partner() -> None:
    inputs = mixed()
    rows, views = torch.tensor([3, 0, 11]), torch.tensor([1, 0, 1])
    batch, targets = inputs.batch(rows, views), inputs.targets(rows, 3)
    source = inputs.inputs
    assert isinstance(source, Activations)
    for place, (row, view) in enumerate(zip(rows.tolist(), views.tolist(), strict=True)):
        partner, partner_view = int(inputs.partners[row]), int(inputs.partner_views[row])
        share = float(inputs.shares[row])
        expected = share * source.values[view, row]
        expected = expected + (1 - share) * source.values[partner_view, partner]
        torch.testing.assert_close(batch[place], expected)
        wanted = torch.zeros(3)
        wanted[row % 3] += share
        wanted[partner % 3] += 1 - share
        torch.testing.assert_close(targets[place], wanted)


def test_the_loss_is_the_mean_of_both_labels_losses_by_their_shares(
    network: Network, faces: FaceSet, spec: ModelSpec
) -> None:
    images, labels = faces.part(Split.train)
    inputs = mix(ImageInputs(images, spec), labels, 0.4, flip=True, seed=3, epoch=1)
    rows, views = torch.arange(6), torch.zeros(6, dtype=torch.int64)
    network.eval()
    passes = Accumulation(network, CPU32, label_smoothing=0.1, part=6)
    loss, sums = passes.backward(inputs, rows, views, labels[rows])
    logits = network(inputs.batch(rows, views)).detach()
    own, other = (
        F.cross_entropy(logits, labels[each], label_smoothing=0.1, reduction="none")
        for each in (rows, inputs.partners[rows])
    )
    shares = inputs.shares[rows]
    torch.testing.assert_close(loss, (shares * own + (1 - shares) * other).mean())
    assert sums[1] == (logits.argmax(1) == labels[rows]).sum(), "hits are of the larger share"


@pytest.mark.parametrize("trained", [{"head", "conv5_x"}, {"head"}])
def test_mixed_training_from_a_cached_prefix_equals_training_the_whole_network(
    trained: set[str], network: Network, faces: FaceSet, spec: ModelSpec, recipe: Recipe
) -> None:
    mixing = recipe.model_copy(update={"mixup": 0.4, "unfreeze_at": {"base": 2}})
    plan = Plan(mixing, frozenset(trained), 3, 8, 0)
    images, labels = faces.part(Split.train)
    stop = frozen_prefix(network, plan.trained, "freeze")
    assert stop == (4 if "conv5_x" in trained else 5)
    cached = cache_prefix(network, stop, ImageInputs(images, spec), 2, CPU32, 1 << 30)
    assert cached is not None
    start = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    histories = []
    for inputs in (cached, ImageInputs(images, spec)):
        network.load_state_dict(start)
        training = Examples(inputs, labels)
        histories.append(train(network, plan, training, training, CPU32, lambda _epoch: None))
        assert not torch.equal(start["fc.weight"], network.state_dict()["fc.weight"])
    for one, other in zip(*histories, strict=True):
        assert one.train_loss == pytest.approx(other.train_loss, rel=2e-3)
        assert one.val_loss == pytest.approx(other.val_loss, rel=5e-3)


def test_mixed_training_gives_the_same_bytes_twice(
    network: Network, faces: FaceSet, spec: ModelSpec, recipe: Recipe
) -> None:
    mixing = recipe.model_copy(update={"mixup": 0.4})
    plan = Plan(mixing, frozenset({"head", "conv5_x"}), 2, 8, 0)
    images, labels = faces.part(Split.train)
    training = Examples(ImageInputs(images, spec), labels)
    start = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    ends = []
    for _ in range(2):
        network.load_state_dict(start)
        train(network, plan, training, training, CPU32, lambda _epoch: None)
        ends.append({name: tensor.clone() for name, tensor in network.state_dict().items()})
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in start)


def test_a_head_alone_is_mixed_too(
    faces: FaceSet, params: Params, recipe: Recipe, tmp_path: Path
) -> None:
    plain, mixing = (
        run_job(
            make_job(
                faces,
                params,
                recipe.model_copy(update={"mixup": alpha}),
                tmp_path,
                train=("head",),
                epochs=3,
            ),
            lambda _epoch: None,
        )
        for alpha in (0.0, 1.0)
    )
    assert mixing.history[-1].train_loss > plain.history[-1].train_loss, "mixed labels are harder"
    assert mixing.trained == {"head"}
