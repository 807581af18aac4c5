"""Every parameter that trains is in exactly one group, at its block's rate."""

from __future__ import annotations

import copy

import pytest
import torch

from src.config import Recipe
from src.models.backbones import BACKBONES
from src.models.network import ModelSpec, Network
from src.models.trainable import block_rates, trained_blocks, unfreeze
from src.training.optimizers import build_optimizer, parameter_groups, set_rate


@pytest.mark.parametrize("backbone", list(BACKBONES))
@pytest.mark.parametrize("train", [("head",), ("all",)])
def test_groups_cover_every_trained_parameter_exactly_once(
    recipe: Recipe, backbone: str, train: tuple[str, ...]
) -> None:
    with torch.device("meta"):  # the largest of them take seconds to initialise
        network = Network(
            ModelSpec(backbone=backbone, stem="standard", image_size=32, subjects=("a", "b"))
        )
    unfreeze(network, trained_blocks(network, train, recipe), "freeze")
    grouped = [id(p) for group in parameter_groups(network, recipe) for p in group["params"]]
    trained = [id(p) for p in network.parameters() if p.requires_grad]
    assert len(grouped) == len(set(grouped))
    assert set(grouped) == set(trained)
    assert len(trained) == (2 if train == ("head",) else len(list(network.parameters())))


def test_weight_decay_spares_norms_and_biases(recipe: Recipe, network: Network) -> None:
    for group in build_optimizer(network, recipe).param_groups:
        for parameter in group["params"]:
            assert (group["weight_decay"] > 0) == (parameter.ndim > 1)


def test_multipliers_and_layer_decay_set_each_blocks_rate(recipe: Recipe, network: Network) -> None:
    own = recipe.model_copy(
        update={"learning_rate": 1.0, "multipliers": {"head": 10.0}, "layer_decay": 0.5}
    )
    assert block_rates(network, own) == {
        "conv1": 0.5**5,
        "conv2_x": 0.5**4,
        "conv3_x": 0.5**3,
        "conv4_x": 0.25,
        "conv5_x": 0.5,
        "head": 10.0,
    }


def test_multipliers_and_layer_decay_reach_the_optimizer_and_stay_under_a_schedule(
    recipe: Recipe, network: Network
) -> None:
    own = recipe.model_copy(
        update={"learning_rate": 2.0, "multipliers": {"head": 10.0}, "layer_decay": 0.5}
    )
    expected = {
        **{"conv1": 2 * 0.5**5, "bn1": 2 * 0.5**5, "layer1": 2 * 0.5**4, "layer2": 2 * 0.5**3},
        **{"layer3": 0.5, "layer4": 1.0, "fc": 20.0},
    }
    rates = {
        parameter.data_ptr(): expected[name.split(".")[0]]
        for name, parameter in network.named_parameters()
    }
    optimizer = build_optimizer(network, own)
    for scale in (1.0, 0.5, 0.25):
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                assert group["lr"] == scale * rates[parameter.data_ptr()]
                assert group["peak"] == rates[parameter.data_ptr()]
        set_rate(optimizer, scale / 2)


def test_the_multiplier_of_the_base_is_that_of_every_block_without_its_own(
    recipe: Recipe, network: Network
) -> None:
    own = recipe.model_copy(
        update={"learning_rate": 1.0, "multipliers": {"base": 0.4, "conv5_x": 0.6}}
    )
    assert block_rates(network, own) == {
        **dict.fromkeys(("conv1", "conv2_x", "conv3_x", "conv4_x"), 0.4),
        "conv5_x": 0.6,
        "head": 1.0,
    }
    frozen = recipe.model_copy(update={"multipliers": {"base": 0.0}})
    assert trained_blocks(network, ("all",), frozen) == {"head"}


def test_a_multiplier_of_zero_freezes_the_block(recipe: Recipe, network: Network) -> None:
    own = recipe.model_copy(update={"multipliers": {"conv1": 0.0, "conv2_x": 0.0}})
    assert trained_blocks(network, ("all",), own) == {"head", "conv3_x", "conv4_x", "conv5_x"}


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_steps_are_those_of_torchs_plain_optimizer_whatever_the_layout_in_memory(
    recipe: Recipe, network: Network, name: str, layout: torch.memory_format
) -> None:
    own = recipe.model_copy(update={"optimizer": name})
    network.to(memory_format=layout)
    twin = copy.deepcopy(network)
    kinds = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    more = {"momentum": own.momentum} if name == "sgd" else {}
    plain = kinds[name](parameter_groups(twin, own), foreach=False, **more)  # type: ignore[arg-type]
    ours = build_optimizer(network, own)
    images = torch.randn(4, 3, 32, 32).to(memory_format=layout)
    for _ in range(3):
        for each in (network, twin):
            each(images).square().mean().backward()
        ours.step()
        plain.step()
        plain.zero_grad()
        for found, expected in zip(network.parameters(), twin.parameters(), strict=True):
            assert found.grad is None
            assert torch.allclose(found, expected, atol=2e-5)
            found.data.copy_(expected)  # so that rounding does not add up


def test_no_step_copies_a_gradient(recipe: Recipe, network: Network) -> None:
    network.to(memory_format=torch.channels_last)
    optimizer = build_optimizer(network, recipe)
    network(torch.randn(2, 3, 32, 32)).sum().backward()
    with torch.profiler.profile() as profile:
        optimizer.step()
    assert not {"aten::clone", "aten::contiguous"} & {event.name for event in profile.events()}
