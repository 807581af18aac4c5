"""A network takes fewer of larger images at once, and its answers stay the same everywhere."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from src.evaluation.inference import shared_logits
from src.models.classifier import Classifier
from src.models.network import ModelSpec, Network

SIDE, IMAGES = 224, 12


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images each run of a network's first block takes."""
    counts: list[int] = []
    plain = Network.run

    def counted(network: Network, x: Tensor, start: int, stop: int) -> Tensor:
        if start == 0:
            counts.append(len(x))
        return plain(network, x, start, stop)

    monkeypatch.setattr(Network, "run", counted)
    return counts


def classifier(side: int) -> Classifier:
    spec = ModelSpec(
        backbone="mobilenet_v3_small", stem="standard", image_size=side, subjects=("ann", "bob")
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Network(spec).eval().to(memory_format=torch.channels_last)
    return Classifier(network, spec)


def drawn(count: int, side: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, (count, 3, side, side), generator=generator, dtype=torch.uint8)


def test_at_224_pixels_ten_images_are_answered_at_once(taken: list[int]) -> None:
    asked, images = classifier(SIDE), drawn(IMAGES, SIDE)
    alone = asked.logits(images)
    assert taken == [10, 2]
    together = shared_logits({"one": [asked]}, images, torch.device("cpu"))["one"][0]
    assert taken == [10, 2, 10, 2]
    torch.testing.assert_close(together, alone, rtol=0, atol=0)


@pytest.mark.parametrize("side", [32, 64])
def test_up_to_64_pixels_128_images_are_answered_at_once(taken: list[int], side: int) -> None:
    classifier(side).logits(drawn(130, side))
    assert taken == [128, 2]
