"""Heat maps equal a computation by hooks and loops, and say where the network looks."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from src.config import Head
from src.models.backbones import BACKBONES
from src.models.classifier import Classifier
from src.models.network import ModelSpec, Network, normalize
from src.prediction.layercam import heat_maps

SPEC = ModelSpec(backbone="resnet18", stem="stride1", image_size=64, subjects=("ann", "bob", "eve"))


def classifier(spec: ModelSpec) -> Classifier:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return Classifier(Network(spec).eval().to(memory_format=torch.channels_last), spec)


def images(count: int, side: int = 64) -> Tensor:
    draw = torch.Generator().manual_seed(0)
    return torch.randint(256, (count, 3, side, side), generator=draw, dtype=torch.uint8)


def naive(given: Classifier, layer: nn.Module, image: Tensor, subject: int) -> Tensor:
    """As the paper's equations, place by place, for the output of one layer."""
    kept: list[Tensor] = []
    hook = layer.register_forward_hook(lambda *call: kept.append(call[2]))
    kept_gradients: list[Tensor] = []
    with torch.enable_grad():
        score = given.network(normalize(image[None], given.spec))[0, subject]
        hook.remove()
        kept_gradients.extend(torch.autograd.grad(score, kept))
    activations, gradients = kept[0][0].detach(), kept_gradients[0][0]
    channels, height, width = activations.shape
    found = torch.zeros(height, width)
    for row in range(height):
        for column in range(width):
            for channel in range(channels):
                weight = max(0.0, float(gradients[channel, row, column]))
                found[row, column] += weight * activations[channel, row, column]
    found = found.clamp_min(0)
    size = (given.spec.image_size,) * 2
    found = F.interpolate(found[None, None], size=size, mode="bilinear", align_corners=False)[0, 0]
    return found / found.max()


def test_maps_equal_those_of_hooks_and_loops() -> None:
    given, faces = classifier(SPEC), images(2)
    layer = given.network.get_submodule("layer4")
    found = heat_maps(given, faces, torch.tensor([2, 0]))
    for image, subject, heat in zip(faces, (2, 0), found, strict=True):
        torch.testing.assert_close(heat, naive(given, layer, image, subject), atol=1e-4, rtol=1e-3)


def test_where_the_last_map_says_nothing_an_earlier_one_is_taken() -> None:
    given, faces = classifier(replace(SPEC, stem="standard")), images(1)
    layer = given.network.get_submodule("layer3")  # 4x4, where layer4 has 2x2
    (found,) = heat_maps(given, faces, torch.tensor([1]))
    torch.testing.assert_close(found, naive(given, layer, faces[0], 1), atol=1e-4, rtol=1e-3)


def test_maps_of_two_subjects_differ() -> None:
    given, faces = classifier(SPEC), images(1)
    first, second = (heat_maps(given, faces, torch.tensor([number])) for number in (0, 1))
    assert (first - second).abs().max() > 0.01  # of random weights


@pytest.mark.parametrize("backbone", ["mobilenet_v3_small", "efficientnet_b0", "vgg11_bn"])
def test_other_families_have_maps_too(backbone: str) -> None:
    given = classifier(replace(SPEC, backbone=backbone, stem="standard", image_size=32))
    found = heat_maps(given, images(2, 32), torch.tensor([0, 2]))
    assert found.shape == (2, 32, 32) and found.min() >= 0 and found.isfinite().all()


def test_only_places_that_change_the_logit_are_warm() -> None:
    given = classifier(SPEC)
    nn.init.zeros_(given.network.head.weight)
    assert heat_maps(given, images(1), torch.tensor([0])).abs().max() == 0


def test_what_the_network_does_not_see_is_cold() -> None:
    given = classifier(replace(SPEC, crop=33))
    (found,) = heat_maps(given, images(1), torch.tensor([0]))
    seen = slice(round(31 / 2), round(31 / 2) + 33)
    assert found.shape == (64, 64) and found[seen, seen].max() == 1
    found[seen, seen] = 0
    assert found.max() == 0


def test_nearest_neighbours_have_maps_and_blocks_may_end_early() -> None:
    spec = replace(SPEC, head=Head(kind="knn"), stored=6, last="conv3_x")
    given = classifier(spec)
    head = given.network.head
    draw = torch.Generator().manual_seed(0)
    head.stored.copy_(torch.rand(head.stored.shape, generator=draw))  # type: ignore[operator]
    head.labels.copy_(torch.arange(6) % 3)  # type: ignore[operator]
    (found,) = heat_maps(given, images(1), torch.tensor([1]))
    assert found.isfinite().all() and found.max() == 1


def test_every_backbone_has_a_block_for_the_map() -> None:
    assert all(len(backbone.blocks) > 1 for backbone in BACKBONES.values())
