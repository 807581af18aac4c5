"""Depthwise convolutions stay in float32 on the CPU, and are otherwise torch's own."""

import torch
from torch import nn

from src.models.backbones import BACKBONES
from src.models.depthwise import DepthwiseConv2d, keep_depthwise_in_float32


def test_under_autocast_depthwise_convolutions_give_what_float32_gives() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, groups=8))
    images = torch.randn(4, 8, 12, 12)
    expected = network(images)
    keep_depthwise_in_float32(network)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = network(images.bfloat16())
    assert found.dtype == torch.float32
    assert torch.allclose(found, expected, atol=2e-2)
    assert torch.equal(network(images), expected)


def test_mobilenet_has_all_its_depthwise_convolutions_kept_and_no_other() -> None:
    network = BACKBONES["mobilenet_v2"].build("standard")
    kept = [module for module in network.modules() if isinstance(module, DepthwiseConv2d)]
    assert len(kept) == 17  # one in each inverted residual block (Sandler et al., 2018, table 2)
    residual = BACKBONES["resnet18"].build("standard")
    assert not any(isinstance(module, DepthwiseConv2d) for module in residual.modules())
