"""What trains is what the recipe lets train, not what `train` names."""

from __future__ import annotations

from typing import Any

import pytest

from src.config import PARAMS, Experiment, Params, load_params
from src.report.unfrozen import unfrozen_blocks
from tests.shipped import SHIPPED


def project(experiment: Experiment, **recipe: Any) -> Params:
    """The shipped settings with one experiment, and its recipe changed."""
    params = load_params(SHIPPED / PARAMS)
    changed = params.recipes[params.recipe].model_copy(update=recipe)
    return params.model_copy(
        update={"experiments": {"A": experiment}, "recipes": {params.recipe: changed}}
    )


def unfrozen(*train: str, recipe: dict[str, float] | None = None, **own: Any) -> tuple[str, ...]:
    experiment = Experiment(train=train, batch_size=8, epochs=4, **own)
    return unfrozen_blocks(project(experiment, multipliers=recipe or {}))["A"]


@pytest.mark.parametrize(
    ("train", "multipliers", "found"),
    [
        (("head",), None, ()),
        (("head", "conv5_x"), None, ("conv5_x",)),
        (("all",), None, ("all",)),
        (("head", "conv1", "conv2_x", "conv3_x", "conv4_x", "conv5_x"), None, ("all",)),
        (("all",), {"base": 0.0}, ()),
        (("all",), {"base": 0.0, "conv4_x": 0.1}, ("conv4_x",)),
        (("all",), {"conv1": 0.0, "conv2_x": 0.0}, ("conv3_x", "conv4_x", "conv5_x")),
        (("head", "conv5_x", "conv4_x"), {"conv4_x": 0.0}, ("conv5_x",)),
    ],
)
def test_a_block_whose_learning_rate_is_0_does_not_train(
    train: tuple[str, ...], multipliers: dict[str, float] | None, found: tuple[str, ...]
) -> None:
    assert unfrozen(*train, multipliers=multipliers) == found
    assert unfrozen(*train, recipe=multipliers) == found


def test_everything_ends_at_the_block_that_the_head_reads() -> None:
    assert unfrozen("all", features="conv3_x") == ("all",)
    assert unfrozen("all", features="conv3_x", multipliers={"conv1": 0.0}) == (
        "conv2_x",
        "conv3_x",
    )
