"""The pretrained networks this project knows, as tables of named blocks.

A block is the unit that is frozen, trained, cached or given its own learning rate. The table
holds module paths of torchvision's network, from the image to the last feature map, so that
parameter names stay torchvision's own. Nothing heavy is imported until a network is built.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Backbone:
    """One torchvision architecture.

    `blocks` maps a block's name to the module paths it runs, in order. `head` is the module
    that a new head replaces, `features` the width it takes after global average pooling.
    `stem_strides` are the convolutions whose stride 2 becomes 1 in the `stride1` stem.
    """

    name: str
    blocks: Mapping[str, tuple[str, ...]]
    head: str
    features: int
    stem_strides: tuple[str, ...]

    def build(self, stem: str) -> nn.Module:
        """torchvision's network with random weights, the stem asked for, and no classifier."""
        from src.models.imports import without_dynamo

        with without_dynamo():
            from torchvision import models
        from torch import nn

        network: nn.Module = models.get_model(self.name, weights=None)
        network.set_submodule(self.head, nn.Identity())
        if stem == "stride1":
            for path in self.stem_strides:
                network.get_submodule(path).stride = (1, 1)  # type: ignore[assignment]
        return network


def _resnet(name: str, features: int) -> Backbone:
    blocks = {
        "conv1": ("conv1", "bn1", "relu", "maxpool"),
        "conv2_x": ("layer1",),
        "conv3_x": ("layer2",),
        "conv4_x": ("layer3",),
        "conv5_x": ("layer4",),
    }
    strided = "conv2" if features == 2048 else "conv1"  # a bottleneck strides in its 3x3
    strides = ("conv1", f"layer2.0.{strided}", "layer2.0.downsample.0")
    return Backbone(name, blocks, "fc", features, strides)


def _mobilenet_v2() -> Backbone:
    blocks = {f"features.{index}": (f"features.{index}",) for index in range(19)}
    strides = ("features.0.0", "features.2.conv.1.0")
    return Backbone("mobilenet_v2", blocks, "classifier", 1280, strides)


BACKBONES: Mapping[str, Backbone] = {
    backbone.name: backbone
    for backbone in (_resnet("resnet18", 512), _resnet("resnet50", 2048), _mobilenet_v2())
}
