"""The loop: the published system's semantics, resuming, and a golden run."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn

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
from tests.training.loops import REFERENCE, changed, examples, run, snapshot


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


def plain_reference_losses(start: dict[str, torch.Tensor], faces: FaceSet) -> list[float]:
    """The published system's loop as its text tells it, by torchvision and autograd alone."""
    model = torchvision.models.resnet18(num_classes=3)
    model.conv1.stride = model.layer2[0].conv1.stride = (1, 1)
    model.layer2[0].downsample[0].stride = (1, 1)
    model.load_state_dict(start)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(parameter.ndim == 4 or name.startswith("fc"))
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=SLOW)
    images, labels = faces.part(Split.train)
    losses = []
    for number in (1, 2, 3):
        model.train()
        rows, _ = epoch_order(0, number, len(labels), flip=False)
        total = 0.0
        for part in rows.split(8):
            loss = nn.functional.cross_entropy(model(images[part] / 255), labels[part])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(part)
        losses.append(total / len(labels))
    return losses


def test_the_reference_recipe_gives_the_losses_of_a_plain_loop_and_the_golden_ones(
    network: Network, faces: FaceSet, spec: ModelSpec
) -> None:
    plain = plain_reference_losses(snapshot(network), faces)
    slow = REFERENCE.model_copy(update={"learning_rate": SLOW})
    plan = Plan(slow, frozenset({*network.blocks, "head"}), 3, 8, 0)
    losses = [epoch.train_loss for epoch in run(network, plan, faces, spec)]
    assert losses == pytest.approx(plain, rel=0.01)
    assert losses == pytest.approx([0.9692, 0.1382, 0.05554], rel=0.05)


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
