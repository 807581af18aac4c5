"""The loop: the published system's semantics, resuming, and a golden run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import ConstantLR, LRScheduler, OneCycleLR

from src.config import Recipe
from src.data.faceset import FaceSet, Split
from src.models.head import initialize_head
from src.models.network import ModelSpec, Network, Norm
from src.models.weights import load_source, random_weights
from src.training import checkpoint as checkpoints
from src.training.checkpoint import Checkpoint
from src.training.inputs import Activations, ActivationsOnDisk
from src.training.loop import Examples, Plan, train
from src.training.order import Purpose, epoch_order, stream
from src.training.prefix import cache_prefix
from src.training.result import Epoch
from tests.training.conftest import CPU32
from tests.training.loops import REFERENCE, changed, examples, run, snapshot, torchvision_network


def test_reference_trains_convolutions_of_unfrozen_blocks_and_lets_all_statistics_drift(
    network: Network, faces: FaceSet, spec: ModelSpec
) -> None:
    before = snapshot(network)
    run(network, Plan(REFERENCE, frozenset({"head", "conv5_x"}), 1, 8, 0), faces, spec)
    weights = {
        n
        for n in changed(network, before)
        if not n.endswith(("running_mean", "running_var", "tracked"))
    }
    expected = {
        n
        for n, p in network.named_parameters()
        if n.startswith("fc") or (n.startswith("layer4") and p.ndim == 4)
    }
    assert weights == expected
    drifting = {n for n in before if n.endswith(("running_mean", "running_var"))}
    assert drifting <= changed(network, before)


def test_freeze_leaves_frozen_blocks_bit_identical_buffers_included(
    network: Network, faces: FaceSet, spec: ModelSpec, recipe: Recipe
) -> None:
    before = snapshot(network)
    run(network, Plan(recipe, frozenset({"head", "conv5_x"}), 2, 8, 0), faces, spec)
    moved = changed(network, before)
    assert all(name.startswith(("fc", "layer4")) for name in moved)
    assert "layer4.0.bn1.running_mean" in moved
    assert "layer4.0.bn1.weight" in moved


def test_a_frozen_block_uses_running_statistics_during_training(
    network: Network, recipe: Recipe
) -> None:
    from src.models.trainable import training_mode

    training_mode(network, frozenset({"head", "conv5_x"}), recipe.batchnorm)
    modes = {n: m.training for n, m in network.named_modules() if isinstance(m, Norm)}
    assert {n for n, training in modes.items() if training} == {
        n for n in modes if n.startswith("layer4")
    }


@pytest.mark.parametrize(
    ("budget", "kind"), [(1 << 30, Activations), (0, ActivationsOnDisk)], ids=["memory", "file"]
)
def test_training_from_a_cached_prefix_equals_training_the_whole_network(
    budget: int,
    kind: type[object],
    network: Network,
    faces: FaceSet,
    spec: ModelSpec,
    recipe: Recipe,
) -> None:
    plan = Plan(recipe, frozenset({"head", "conv5_x"}), 2, 8, 0)
    start = snapshot(network)
    whole = run(network, plan, faces, spec)
    ends = snapshot(network)
    network.load_state_dict(start)
    training, validation = examples(faces, spec)
    cached = [
        Examples(cache_prefix(network, 4, e.inputs, views, CPU32, budget), e.labels)
        for e, views in ((training, 2), (validation, 1))
    ]
    assert all(isinstance(e.inputs, kind) for e in cached)
    short = train(network, plan, cached[0], cached[1], CPU32, lambda _epoch: None)
    for a, b in zip(whole, short, strict=True):
        assert a.train_loss == pytest.approx(b.train_loss, rel=2e-3)
        assert a.val_loss == pytest.approx(b.val_loss, rel=5e-3)
    for name, tensor in network.state_dict().items():
        if not name.startswith(("layer4", "fc")):
            assert torch.equal(tensor, ends[name])


def test_an_interrupted_run_resumes_to_the_same_bytes(
    network: Network,
    faces: FaceSet,
    spec: ModelSpec,
    recipe: Recipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(checkpoints, "SECONDS_BETWEEN", 0.0)
    plan = Plan(recipe, frozenset({"head", "conv5_x"}), 4, 8, 0)
    start = snapshot(network)
    whole = run(network, plan, faces, spec)
    ends = snapshot(network)

    def stop(epoch: Epoch) -> None:
        if epoch.number == 3:
            raise KeyboardInterrupt

    network.load_state_dict(start)
    training, validation = examples(faces, spec)
    point = Checkpoint(tmp_path / "point", "key")
    with pytest.raises(KeyboardInterrupt):
        train(network, plan, training, validation, CPU32, stop, point)
    network.load_state_dict(start)
    resumed = train(network, plan, training, validation, CPU32, lambda _e: None, point)
    assert not changed(network, ends)
    assert [e.val_loss for e in resumed] == [e.val_loss for e in whole]


def test_a_checkpoint_of_other_parameters_is_not_taken_up(tmp_path: Path) -> None:
    point = Checkpoint(tmp_path / "point", "one", saved=-1e9)
    point.save({"x": torch.ones(1)}, ())
    assert Checkpoint(tmp_path / "point", "one").load() is not None
    assert Checkpoint(tmp_path / "point", "two").load() is None


def test_a_head_trains_alone_until_its_network_unfreezes(
    network: Network, faces: FaceSet, spec: ModelSpec, recipe: Recipe
) -> None:
    gradual = recipe.model_copy(update={"unfreeze_at": {"base": 2}, "select": "last"})
    before = snapshot(network)
    run(network, Plan(gradual, frozenset({"head", "conv5_x"}), 1, 8, 0), faces, spec)
    assert changed(network, before) == {"fc.weight", "fc.bias"}


SLOW = 1e-4  # Adam's first steps are signs of gradients, which magnify rounding


def published(model: nn.Module) -> LRScheduler:
    """Adam at one rate over convolutions and head, never over a norm's scale and shift."""
    named = model.named_parameters()
    trained = [p for name, p in named if p.ndim == 4 or name.startswith("fc")]
    return ConstantLR(torch.optim.Adam(trained, SLOW), factor=1.0)


def tuned(model: nn.Module) -> LRScheduler:
    """AdamW on one cycle over everything: five times the rate in the head, decay of matrices."""
    named = dict(model.named_parameters())
    groups = [{"params": [p], "weight_decay": 0.1 if p.ndim > 1 else 0.0} for p in named.values()]
    peaks = [5 * SLOW if name.startswith("fc") else SLOW for name in named]
    return OneCycleLR(torch.optim.AdamW(groups), peaks, total_steps=6, cycle_momentum=False)


def plain_epochs(
    start: dict[str, torch.Tensor],
    faces: FaceSet,
    scheduled: Callable[[nn.Module], LRScheduler],
    epochs: int,
    *,
    smoothing: float = 0.0,
    flip: bool = False,
) -> tuple[list[float], list[float]]:
    """Each epoch's loss and highest learning rate, by torchvision, autograd and torch.optim."""
    model = torchvision_network(start)
    schedule = scheduled(model.train())
    images, labels = faces.part(Split.train)
    losses, rates = [], []
    for number in range(1, epochs + 1):
        rows, turns = epoch_order(0, number, len(labels), flip)
        total = 0.0
        for part, turned in zip(rows.split(8), turns.split(8), strict=True):
            pairs = zip(images[part], turned, strict=True)
            seen = torch.stack([image.flip(2) if turn else image for image, turn in pairs]) / 255
            loss = F.cross_entropy(model(seen), labels[part], label_smoothing=smoothing)
            model.zero_grad()
            loss.backward()
            schedule.optimizer.step()
            rate = max(schedule.get_last_lr())
            schedule.step()
            total += loss.item() * len(part)
        losses.append(total / len(labels))
        rates.append(rate)
    return losses, rates


def test_the_reference_recipe_gives_the_losses_of_a_plain_loop_and_the_golden_ones(
    network: Network, faces: FaceSet, spec: ModelSpec
) -> None:
    plain, _ = plain_epochs(snapshot(network), faces, published, epochs=3)
    slow = REFERENCE.model_copy(update={"learning_rate": SLOW})
    plan = Plan(slow, frozenset({*network.blocks, "head"}), 3, 8, 0)
    losses = [epoch.train_loss for epoch in run(network, plan, faces, spec)]
    assert losses == pytest.approx(plain, rel=0.01)
    assert losses == pytest.approx([0.9692, 0.1382, 0.05554], rel=0.05)


def test_a_tuned_recipe_gives_the_losses_and_rates_of_a_plain_loop(
    network: Network, faces: FaceSet, spec: ModelSpec, recipe: Recipe
) -> None:
    losses, rates = plain_epochs(
        snapshot(network), faces, tuned, epochs=2, smoothing=0.1, flip=True
    )
    slow = recipe.model_copy(update={"learning_rate": SLOW, "multipliers": {"head": 5.0}})
    plan = Plan(slow, frozenset({*network.blocks, "head"}), 2, 8, 0)
    history = run(network, plan, faces, spec)
    assert [epoch.train_loss for epoch in history] == pytest.approx(losses, rel=0.01)
    assert [epoch.learning_rate for epoch in history] == pytest.approx(rates, rel=1e-6)


def test_the_best_epoch_is_the_one_whose_weights_are_kept(network: Network, recipe: Recipe) -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(24) % 3
    centres = torch.randn(3, 512, generator=generator)
    seen, unseen = centres[labels] + 2 * torch.randn(2, 24, 512, generator=generator)
    partly_wrong = (labels + (torch.arange(24) % 4 == 0)) % 3  # which confidence makes worse
    training = Examples(Activations(seen[None], 5), labels)
    validation = Examples(Activations(unseen[None], 5), partly_wrong)
    steady = {"optimizer": "sgd", "learning_rate": 0.001, "schedule": "constant", "flip": False}
    plan = Plan(recipe.model_copy(update=steady), frozenset({"head"}), 6, 8, 0)
    ends: list[dict[str, torch.Tensor]] = []
    history = train(
        network, plan, training, validation, CPU32, lambda _epoch: ends.append(snapshot(network))
    )
    best = max(history, key=lambda epoch: (epoch.val_accuracy, -epoch.val_loss))
    assert 1 < best.number < 6
    assert not changed(network, ends[best.number - 1])
    loss = F.cross_entropy(network.head(unseen), partly_wrong)
    assert loss.item() == pytest.approx(best.val_loss, rel=1e-4)


def test_the_loop_draws_by_seed_and_epoch_whatever_was_drawn_before(faces: FaceSet) -> None:
    spec = ModelSpec(
        backbone="efficientnet_b0", stem="standard", image_size=16, subjects=faces.subjects
    )
    ends = []
    for state in (1, 2):
        network = Network(spec)
        load_source(network, random_weights("efficientnet_b0", 0))
        initialize_head(network.head, stream(Purpose.head, 0))
        torch.manual_seed(state)
        before = torch.get_rng_state()
        run(network, Plan(REFERENCE, frozenset({"head", "features.8"}), 2, 8, 0), faces, spec)
        assert torch.equal(torch.get_rng_state(), before)
        ends.append(snapshot(network))
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])
