"""Parameters are gathered into layers, blocks into their order in the network."""

from __future__ import annotations

import math

import pytest

from src.models.backbones import BACKBONES
from src.report.layers import by_layer, convolutions


def test_a_layers_norm_is_that_of_all_its_parameters_together() -> None:
    change = {"layer4.0.conv1.weight": 3.0, "fc.0.weight": 3.0, "fc.0.bias": 4.0, "fc.2.bias": 12.0}
    found = by_layer(change, BACKBONES["resnet18"])
    assert found == {"layer4.0.conv1": 3.0, "head": pytest.approx(math.sqrt(9 + 16 + 144))}


@pytest.mark.parametrize(("name", "count"), [("resnet18", 20), ("mobilenet_v2", 52)])
def test_every_convolution_is_in_one_block_in_order(name: str, count: int) -> None:
    blocks = convolutions(BACKBONES[name], "stride1")
    layers = [layer for part in blocks.values() for layer in part]
    assert len(layers) == len(set(layers)) == count + 1
    assert tuple(blocks) == (*BACKBONES[name].blocks, "head")
    assert layers[-1] == "head"
