"""The pretrained networks this project knows, as tables of named blocks.

A block is the unit that is frozen, trained, cached or given its own learning rate. The table
holds module paths of torchvision's network, from the image to the last feature map, so that
parameter names stay torchvision's own. Nothing heavy is imported: `src.config` reads the table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Backbone:
    """One torchvision architecture.

    `blocks` maps a block's name to the module paths it runs, in order. `head` is the module
    that a new head replaces, `features` the width it takes after global average pooling, which
    also takes the place of the larger pooling and the wide layers of VGG and MobileNetV3.
    `stem_strides` are the convolutions whose stride 2 becomes 1 in the `stride1` stem; a network
    without any has no such stem. `least` is the side of the smallest image that its poolings leave
    a pixel of.
    """

    name: str
    blocks: Mapping[str, tuple[str, ...]]
    head: str
    features: int
    stem_strides: tuple[str, ...]
    least: int = 1

    def up_to(self, last: str, network: nn.Module) -> Backbone:
        """The table of a built `network` cut off after block `last`, whose channels it ends in."""
        from torch import nn

        names = list(self.blocks)
        kept = {name: self.blocks[name] for name in names[: names.index(last) + 1]}
        convolutions = [
            module
            for path in kept[last]
            for module in network.get_submodule(path).modules()
            if isinstance(module, nn.Conv2d)
        ]
        return replace(self, blocks=kept, features=convolutions[-1].out_channels)


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


def _features(name: str, count: int, features: int, strides: tuple[str, ...]) -> Backbone:
    """A network whose body is a sequence of `count` modules called `features`."""
    blocks = {f"features.{index}": (f"features.{index}",) for index in range(count)}
    return Backbone(name, blocks, "classifier", features, strides)


def _efficientnet(name: str, count: int, features: int) -> Backbone:
    expanding = "0.block.0" if name.startswith("efficientnet_v2") else "0.block.1"
    return _features(name, count, features, ("features.0.0", f"features.2.{expanding}.0"))


def _vgg(name: str, convolutions: tuple[int, ...]) -> Backbone:
    """Blocks `conv1_x` to `conv5_x`, each up to its pooling; `convolutions` are their numbers."""
    each = 3 if name.endswith("_bn") else 2  # convolution, (norm,) activation
    blocks, start = {}, 0
    for number, count in enumerate(convolutions, 1):
        stop = start + count * each + 1
        blocks[f"conv{number}_x"] = tuple(f"features.{index}" for index in range(start, stop))
        start = stop
    return Backbone(name, blocks, "classifier", 512, (), least=2 ** len(blocks))


BACKBONES: Mapping[str, Backbone] = {
    backbone.name: backbone
    for backbone in (
        *(_resnet(name, 512) for name in ("resnet18", "resnet34")),
        *(_resnet(name, 2048) for name in ("resnet50", "resnet101", "resnet152")),
        *(_resnet(name, 2048) for name in ("resnext50_32x4d", "resnext101_32x8d")),
        *(_resnet(name, 2048) for name in ("wide_resnet50_2", "wide_resnet101_2")),
        _features("mobilenet_v2", 19, 1280, ("features.0.0", "features.2.conv.1.0")),
        _features("mobilenet_v3_small", 13, 576, ("features.0.0", "features.1.block.0.0")),
        _features("mobilenet_v3_large", 17, 960, ("features.0.0", "features.2.block.1.0")),
        *(
            _efficientnet(f"efficientnet_b{size}", 9, width)
            for size, width in enumerate((1280, 1280, 1408, 1536, 1792, 2048, 2304, 2560))
        ),
        _efficientnet("efficientnet_v2_s", 8, 1280),
        _efficientnet("efficientnet_v2_m", 9, 1280),
        _vgg("vgg11_bn", (1, 1, 2, 2, 2)),
        _vgg("vgg16", (2, 2, 3, 3, 3)),
        _vgg("vgg16_bn", (2, 2, 3, 3, 3)),
        _vgg("vgg19_bn", (2, 2, 4, 4, 4)),
    )
}
