"""Random numbers of training differ wherever their arguments do, and order and flip images."""

from __future__ import annotations

import itertools

import pytest
import torch

from src.config import Head
from src.training.head_task import HeadTask
from src.training.heads import dropout_keys
from src.training.order import epoch_order, seeded
from tests.training.loops import REFERENCE

IMAGES = 4000


def test_an_epoch_takes_every_image_once_in_an_order_of_its_own() -> None:
    orders = [
        epoch_order(seed, epoch, IMAGES, flip=True) for seed, epoch in ((0, 1), (0, 2), (1, 1))
    ]
    for rows, _ in orders:
        assert rows.sort().values.tolist() == list(range(IMAGES))
        assert rows.tolist() != list(range(IMAGES))
    for one, other in itertools.combinations(orders, 2):
        assert not torch.equal(one[0], other[0])
        assert not torch.equal(one[1], other[1])


def test_half_of_the_images_are_flipped_or_none() -> None:
    _, views = epoch_order(0, 1, IMAGES, flip=True)
    assert set(views.tolist()) == {0, 1}
    assert views.float().mean().item() == pytest.approx(0.5, abs=0.03)  # almost four deviations
    assert not epoch_order(0, 1, IMAGES, flip=False)[1].any()


def test_what_modules_draw_differs_by_seed_and_epoch_and_leaves_no_trace() -> None:
    before = torch.get_rng_state()
    drawn = []
    for seed, epoch in ((0, 1), (0, 2), (1, 1), (0, 1)):
        with seeded(torch.device("cpu"), seed, epoch):
            drawn.append(tuple(torch.rand(4).tolist()))
    assert len(set(drawn)) == 3
    assert drawn[0] == drawn[3]
    assert torch.equal(torch.get_rng_state(), before)


def test_every_step_layer_and_head_drops_units_of_its_own() -> None:
    tasks = [
        HeadTask(head=Head(), recipe=REFERENCE, epochs=1, batch_size=8, seed=seed)
        for seed in (0, 1)
    ]
    keys = dropout_keys(tasks, range(5), layers=3)
    assert keys.shape == (5, 3, 2)
    assert len(keys.unique()) == 30
