"""Validation takes as many images at once as memory has room for, whatever their size."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from src.data.faceset import FaceSet, Split
from src.models.network import ModelSpec, Network
from src.training.adapting import BatchSchedule, adapting_features
from src.training.inputs import Activations, ImageInputs
from src.training.loop import Examples, answers
from tests.training.conftest import CPU32


def network_of(side: int, taken: list[int]) -> tuple[Network, ModelSpec]:
    """A network for images of `side` pixels that appends to `taken` how many it takes at once."""
    spec = ModelSpec(
        backbone="mobilenet_v3_small", stem="standard", image_size=side, subjects=("ann", "bob")
    )
    network = Network(spec)

    def note(module: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        taken.append(len(arguments[0]))

    network.block(network.blocks[0])[0].register_forward_pre_hook(note)
    return network, spec


@pytest.mark.parametrize(("side", "parts"), [(32, [256, 14]), (64, [256, 14]), (320, [10, 10, 5])])
def test_of_larger_images_fewer_are_answered_at_once(side: int, parts: list[int]) -> None:
    taken: list[int] = []
    network, spec = network_of(side, taken)
    images = torch.zeros(sum(parts), 3, side, side, dtype=torch.uint8)
    labels = torch.arange(len(images)) % 2
    pairs = [*answers(network, Examples(ImageInputs(images, spec), labels), CPU32)]
    assert taken == [len(logits) for logits, _ in pairs] == parts
    assert torch.equal(torch.cat([known for _, known in pairs]), labels)


@pytest.mark.parametrize(("shape", "left"), [((576,), 0), ((2, 2, 96), 1)])
def test_small_maps_of_large_images_are_answered_as_those_of_small_ones(
    shape: tuple[int, ...], left: int
) -> None:
    """Outputs of blocks that do not train, after which so many blocks are left to run."""
    network, spec = network_of(320, [])
    images = torch.zeros(1, 3, 320, 320, dtype=torch.uint8).expand(260, -1, -1, -1)
    start = len(network.blocks) - left
    cached = Activations(torch.zeros(1, len(images), *shape), start)
    labels = torch.zeros(len(images), dtype=torch.int64)
    examples = Examples(ImageInputs(images, spec), labels, cached=(cached,))
    assert [len(logits) for logits, _ in answers(network, examples, CPU32, start)] == [256, 4]


@pytest.mark.parametrize(("side", "parts"), [(64, [128, 2]), (320, [5, 4])])
def test_an_adapting_backbone_takes_fewer_of_larger_images_too(
    side: int, parts: list[int], tmp_path: Path
) -> None:
    taken: list[int] = []
    network, spec = network_of(side, taken)
    count = 2 + sum(parts)
    split = torch.tensor([Split.train] * 2 + [Split.val] * sum(parts), dtype=torch.uint8)
    faces = FaceSet(
        torch.zeros(count, 3, side, side, dtype=torch.uint8),
        torch.arange(count) % 2,
        split,
        spec.subjects,
    )
    schedule = BatchSchedule(seed=0, batch_size=2, epochs=1, flip=False)
    adapting_features(faces, network, spec, schedule, CPU32, tmp_path / "scratch")
    assert taken == [2, *parts]
