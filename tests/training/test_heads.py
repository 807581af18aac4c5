"""Batched heads against one head at a time, by autograd and torch.optim."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from src.config import Head, Recipe
from src.models.head import build_head, initialize_head
from src.training import heads
from src.training.device import products_in
from src.training.dropout import counters, keep_mask, thresholds
from src.training.grouping import group_tasks
from src.training.head_task import HeadTask
from src.training.heads import dropout_keys, train_heads
from src.training.order import Purpose, epoch_order, stream
from src.training.result import Epoch
from src.training.schedules import factor
from tests.training.conftest import CLASSES, WIDTH, Blobs, tasks


def train_alone(task: HeadTask, blobs: Blobs) -> tuple[nn.Module, list[float]]:
    """The same head the plain way: modules, autograd, torch.optim; the last epoch's weights."""
    head = build_head(task.head, WIDTH, CLASSES)
    initialize_head(head, stream(Purpose.head, task.seed))
    recipe = task.recipe
    decayed = [p for p in head.parameters() if p.ndim > 1]
    plain = [p for p in head.parameters() if p.ndim == 1]
    kinds = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": plain}]
    if recipe.optimizer == "sgd":
        optimizer = torch.optim.SGD(groups, lr=1.0, momentum=recipe.momentum, weight_decay=0.0)
    else:
        optimizer = kinds[recipe.optimizer](groups, lr=1.0, weight_decay=0.0)
    losses = []
    steps = -(-70 // task.batch_size)
    for number in range(1, task.epochs + 1):
        rows, views = epoch_order(task.seed, number, 70, recipe.flip)
        total = 0.0
        for step in range(steps):
            part = slice(step * task.batch_size, (step + 1) * task.batch_size)
            x, y = blobs.values[views[part], rows[part]], blobs.labels[rows[part]]
            done = (number - 1) * steps + step
            for group in optimizer.param_groups:
                group["lr"] = recipe.learning_rate * factor(recipe, done, steps, task.epochs)
            logits = forward(head, x, task, done)
            loss = nn.functional.cross_entropy(logits, y, label_smoothing=recipe.label_smoothing)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(y)
        losses.append(total / 70)
    return head, losses


def forward(head: nn.Module, x: Tensor, task: HeadTask, step: int) -> Tensor:
    layer = 0
    for module in head if isinstance(head, nn.Sequential) else [head]:
        if isinstance(module, nn.Dropout):
            mixed = counters(x.shape[0], x.shape[1], x.device)
            keys = dropout_keys([task], range(step, step + 1), layer)[0, layer - 1]
            x = x * keep_mask(mixed, keys, thresholds(torch.tensor([module.p])))[0] / (1 - module.p)
        else:
            x = module(x)
        layer += isinstance(module, nn.Linear)
    return x


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": "adam"},
        {"optimizer": "adamw"},
        {"optimizer": "sgd"},
        {"optimizer": "sgd", "momentum": 0.0},
    ],
    ids=str,
)
def test_every_head_of_a_batch_ends_as_if_trained_alone(
    recipe: Recipe, blobs: Blobs, changes: dict[str, object]
) -> None:
    recipe = recipe.model_copy(update=changes)
    fitted = train_heads(tasks(recipe), blobs, CLASSES)
    for task, result in zip(tasks(recipe), fitted, strict=True):
        head, losses = train_alone(task, blobs)
        assert [e.train_loss for e in result.history] == pytest.approx(losses, rel=1e-4)
        for name, expected in head.state_dict().items():
            torch.testing.assert_close(result.state[name], expected, rtol=2e-3, atol=2e-5)
        val = nn.functional.cross_entropy(head.eval()(blobs.val_values), blobs.val_labels)
        assert result.history[-1].val_loss == pytest.approx(val.item(), rel=1e-3)


def test_a_batch_of_heads_is_really_one_group(recipe: Recipe) -> None:
    two = [task for task in tasks(recipe) if len(task.head.hidden) == 2]
    assert len(two) > 1
    (group,) = group_tasks(two, WIDTH, CLASSES, torch.device("cpu"))
    assert sorted(group) == [*range(len(two))]


def test_wide_heads_train_one_by_one_on_a_processor_and_together_on_a_gpu(recipe: Recipe) -> None:
    head = Head(hidden=(1024, 512))
    wide = [
        HeadTask(head=head, recipe=recipe, epochs=4, batch_size=64, seed=seed) for seed in range(3)
    ]
    assert len(group_tasks(wide, 512, CLASSES, torch.device("cpu"))) == 3
    assert len(group_tasks(wide, 512, CLASSES, torch.device("cuda"))) == 1


def test_large_heads_are_multiplied_in_the_precision_of_the_device_and_small_ones_in_full(
    recipe: Recipe, blobs: Blobs
) -> None:
    small = HeadTask(head=Head(hidden=(32, 16)), recipe=recipe, epochs=4, batch_size=16, seed=0)
    large = replace(small, head=Head(hidden=(1300, 700)))
    before = torch.get_float32_matmul_precision()
    full = train_heads([small, large], blobs, CLASSES)
    halves = [replace(task, dtype=torch.bfloat16) for task in (small, large)]
    mixed = train_heads(halves, blobs, CLASSES)
    assert torch.get_float32_matmul_precision() == before
    assert [e.train_loss for e in mixed[0].history] == [e.train_loss for e in full[0].history]
    expected = [e.train_loss for e in full[1].history]
    assert [e.train_loss for e in mixed[1].history] == pytest.approx(expected, rel=0.02)
    (alone,) = train_heads([halves[1]], blobs, CLASSES)
    assert [e.train_loss for e in alone.history] == [e.train_loss for e in mixed[1].history]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_products_are_summed_in_float32_whatever_they_are_multiplied_in(
    dtype: torch.dtype,
) -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(256, 256, generator=generator).abs() for _ in "ab")
    exact = a.double() @ b.double()
    with products_in(dtype):
        assert ((a @ b - exact).abs() / exact).max() < 2**-9
    rounded = a.bfloat16().float() @ b.bfloat16().float()
    with products_in(dtype):
        found = a @ b
    nearest = min((found - other).abs().max() for other in (a @ b, rounded))
    assert nearest < 1e-3


def test_validating_few_images_at_a_time_scores_the_same(
    recipe: Recipe, blobs: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train_heads(tasks(recipe), blobs, CLASSES)
    monkeypatch.setattr(heads, "VALIDATED", 7 * CLASSES)
    for one, other in zip(whole, train_heads(tasks(recipe), blobs, CLASSES), strict=True):
        for before, after in zip(one.history, other.history, strict=True):
            assert before.val_accuracy == after.val_accuracy
            assert before.val_loss == pytest.approx(after.val_loss, rel=1e-5)


def test_dropping_a_head_leaves_the_others_unchanged(recipe: Recipe, blobs: Blobs) -> None:
    two = [task for task in tasks(recipe) if len(task.head.hidden) == 2]
    together = train_heads(two, blobs, CLASSES)

    def stop_the_second(number: int, epoch: Epoch) -> bool:
        return number != 1 or epoch.number < 2

    pruned = train_heads(two, blobs, CLASSES, stop_the_second)
    assert [len(result.history) for result in pruned] == [4, 2, 4]
    for kept in (0, 2):
        for name, expected in together[kept].state.items():
            torch.testing.assert_close(pruned[kept].state[name], expected, rtol=1e-4, atol=1e-6)


def test_patience_stops_each_head_at_its_own_epoch(recipe: Recipe, blobs: Blobs) -> None:
    patient = recipe.model_copy(update={"patience": 2, "schedule": "constant"})
    two = [replace(t, epochs=40) for t in tasks(patient) if len(t.head.hidden) == 2]
    two = [replace(t, recipe=t.recipe.model_copy(update={"select": "best"})) for t in two]
    for result in train_heads(two, blobs, CLASSES):
        assert len(result.history) == min(40, result.chosen.number + 2)


def test_the_best_epoch_is_the_one_whose_weights_are_kept(recipe: Recipe, blobs: Blobs) -> None:
    wrong = torch.arange(30) % 3 == 0  # labels, on which confidence makes the loss worse
    blobs = replace(blobs, val_labels=(blobs.val_labels + wrong) % CLASSES)
    steady = recipe.model_copy(update={"schedule": "constant"})
    several = [
        HeadTask(head=head, recipe=steady, epochs=8, batch_size=16, seed=seed)
        for head in (Head(), Head(hidden=(16,), dropout=(0.0,)))
        for seed in range(3)
    ]
    for task, result in zip(several, train_heads(several, blobs, CLASSES), strict=True):
        best = max(result.history, key=lambda epoch: (epoch.val_accuracy, -epoch.val_loss))
        assert result.chosen == best
        assert 1 < best.number < 8
        head = build_head(task.head, WIDTH, CLASSES)
        head.load_state_dict(result.state)
        logits = head(blobs.val_values)
        loss = nn.functional.cross_entropy(logits, blobs.val_labels)
        assert loss.item() == pytest.approx(best.val_loss, rel=1e-4)
        accuracy = (logits.argmax(1) == blobs.val_labels).float().mean()
        assert accuracy.item() == pytest.approx(best.val_accuracy)


def test_dropout_keeps_the_right_share_without_visible_pattern() -> None:
    mixed = counters(256, 512, torch.device("cpu"))
    rates = torch.tensor([0.0, 0.3, 0.5, 0.7])
    keys = torch.tensor([1, 2, 3, 4], dtype=torch.int32)
    kept = keep_mask(mixed, keys, thresholds(rates)).float()
    torch.testing.assert_close(kept.mean((1, 2)), 1 - rates, rtol=0, atol=0.005)
    other = keep_mask(mixed, keys + 1, thresholds(rates)).float()
    for head in (1, 2, 3):
        pairs = [
            (kept[head][:, 1:], kept[head][:, :-1]),
            (kept[head][1:], kept[head][:-1]),
            (kept[head], other[head]),
        ]
        for a, b in pairs:
            correlation = torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1]
            assert abs(correlation) < 0.02


def test_a_head_draws_the_same_dropout_in_a_wider_and_taller_array() -> None:
    key, below = torch.tensor([7], dtype=torch.int32), thresholds(torch.tensor([0.5]))
    small = keep_mask(counters(10, 30, torch.device("cpu")), key, below)
    large = keep_mask(counters(64, 100, torch.device("cpu")), key, below)
    assert torch.equal(small, large[:, :10, :30])
