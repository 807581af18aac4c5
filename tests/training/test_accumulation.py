"""A batch that memory has no room for is trained in parts, or refused, never otherwise changed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from src.config import Augment, Head, Recipe
from src.data.faceset import FaceSet, Split
from src.errors import shortage
from src.models.network import ModelSpec, Network
from src.models.trainable import training_mode, unfreeze
from src.training.accumulation import Accumulation, divides
from src.training.device import Compute
from src.training.inputs import ImageInputs
from src.training.loop import Examples, Plan, train
from src.training.result import Epoch
from tests.training.conftest import CPU32

HEAD = frozenset({"head"})


def examples(
    faces: FaceSet, spec: ModelSpec, device: torch.device = CPU32.device
) -> tuple[Examples, Examples]:
    training, validation = (
        Examples(ImageInputs(images.to(device), spec), labels.to(device))
        for images, labels in map(faces.part, (Split.train, Split.val))
    )
    return training, validation


@contextmanager
def room_for(images: int, network: nn.Module) -> Iterator[list[int]]:
    """An allocator that refuses what more than so many images need to train; yields their numbers.

    It refuses after some layers, as a GPU's does, which is not here.
    """
    seen = []

    def refuse(module: nn.Module, arguments: Any, _output: Any) -> None:
        if torch.is_grad_enabled():
            seen.append(len(arguments[0]))
            if seen[-1] > images:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    handle = network.head.register_forward_hook(refuse)
    try:
        yield seen
    finally:
        handle.remove()


def gradients(network: Network, faces: FaceSet, spec: ModelSpec) -> tuple[Tensor, list[Tensor]]:
    """Loss and sums, and gradients of the head, of one batch of all 24 images."""
    training, _ = examples(faces, spec)
    rows = torch.arange(len(training.labels))
    unfreeze(network, HEAD, "freeze")
    training_mode(network, HEAD, "freeze")
    passes = Accumulation(network, CPU32, 0.1, part=len(rows))
    loss, sums = passes.backward(training.inputs, rows, rows % 2, training.labels)
    found = [parameter.grad for parameter in network.head.parameters()]
    network.zero_grad()
    return torch.stack([loss, *sums]), found


@pytest.mark.parametrize(("room", "part"), [(12, 12), (7, 6), (5, 3), (1, 1)])
def test_parts_give_the_gradients_of_the_whole_batch(
    room: int,
    part: int,
    network: Network,
    faces: FaceSet,
    spec: ModelSpec,
    capsys: pytest.CaptureFixture[str],
) -> None:
    expected, whole = gradients(network, faces, spec)
    assert capsys.readouterr().err == ""
    with room_for(room, network) as seen:
        scores, parts = gradients(network, faces, spec)
    assert seen[-24 // part :] == [part] * (24 // part)
    assert f"up over {part} each; results differ in rounding" in capsys.readouterr().err
    torch.testing.assert_close(scores, expected)
    torch.testing.assert_close(parts, whole)


def test_uneven_parts_count_by_their_images(
    network: Network, faces: FaceSet, spec: ModelSpec
) -> None:
    training, _ = examples(faces, spec)
    rows = torch.arange(11)
    unfreeze(network, HEAD, "freeze")
    training_mode(network, HEAD, "freeze")
    passes = Accumulation(network, CPU32, 0.0, part=4)  # 4, 4 and 3
    labels = training.labels[rows]
    loss, sums = passes.backward(training.inputs, rows, torch.zeros_like(rows), labels)
    logits = network(training.inputs.batch(rows, torch.zeros_like(rows)))
    expected = F.cross_entropy(logits, labels)
    torch.testing.assert_close(loss, expected.detach())
    torch.testing.assert_close(sums[0], expected.detach() * 11)
    assert int(sums[1]) == int((logits.argmax(1) == labels).sum())
    (gradient,) = torch.autograd.grad(expected, [network.head.weight])
    torch.testing.assert_close(network.head.weight.grad, gradient)


def trained(
    network: Network, recipe: Recipe, faces: FaceSet, spec: ModelSpec, batch: int = 10
) -> tuple[tuple[Epoch, ...], dict[str, Tensor]]:
    """History and weights of three epochs in batches of 10, 10 and 4, from the same start."""
    start = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    plan = Plan(recipe, HEAD, 3, batch, 0)
    history = train(network, plan, *examples(faces, spec), CPU32, lambda _epoch: None)
    ends = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network.load_state_dict(start)
    return history, ends


def test_a_training_without_room_for_its_batches_is_the_training_with_it(
    network: Network,
    faces: FaceSet,
    spec: ModelSpec,
    recipe: Recipe,
    capsys: pytest.CaptureFixture[str],
) -> None:
    augment = Augment(random_resized_crop=True)
    cropped = recipe.model_copy(update={"augment": augment, "learning_rate": 0.001})
    whole, ends = trained(network, cropped, faces, spec)
    with room_for(3, network) as seen:
        parts, ends_in_parts = trained(network, cropped, faces, spec)
    assert seen == [10, 5, *[3, 3, 3, 1] * 2, 3, 1, *([3, 3, 3, 1] * 2 + [3, 1]) * 2]
    assert capsys.readouterr().err.count("warning: no memory for") == 2  # then it is remembered
    for one, other in zip(whole, parts, strict=True):
        assert other.train_loss == pytest.approx(one.train_loss, rel=1e-4)
        assert other.train_accuracy == one.train_accuracy
        assert other.val_loss == pytest.approx(one.val_loss, rel=1e-4)
    torch.testing.assert_close(ends_in_parts, ends, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("backbone", "trains", "head", "exact"),
    [
        ("resnet18", {"head"}, Head(), True),
        ("resnet18", {"head"}, Head(hidden=(8,), dropout=(0.0,)), True),
        ("resnet18", {"head"}, Head(hidden=(8,), dropout=(0.5,)), False),
        ("resnet18", {"head", "conv5_x"}, Head(), False),
        ("vgg16", {"head", "conv5_x"}, Head(), True),
        ("efficientnet_b0", {"head", "features.8"}, Head(), False),
    ],
)
def test_only_networks_that_take_each_image_by_itself_are_divided(
    backbone: str, trains: set[str], head: Head, exact: bool
) -> None:
    with torch.device("meta"):
        network = Network(
            ModelSpec(
                backbone=backbone, stem="standard", image_size=32, subjects=("a", "b"), head=head
            )
        )
    training_mode(network, frozenset(trains), "freeze")
    assert divides(network) is exact
    network.eval()
    assert divides(network)


def test_stochastic_depth_alone_forbids_parts() -> None:
    from torchvision.ops import StochasticDepth

    assert not divides(nn.Sequential(StochasticDepth(0.1, "row")))
    assert divides(nn.Sequential(StochasticDepth(0.0, "row"), nn.Dropout(0.0)))


def test_batch_statistics_are_never_divided(
    network: Network, faces: FaceSet, spec: ModelSpec, recipe: Recipe
) -> None:
    plan = Plan(recipe, frozenset({"head", "conv5_x"}), 1, 8, 0)
    with room_for(4, network) as seen, pytest.raises(torch.OutOfMemoryError) as raised:
        train(network, plan, *examples(faces, spec), CPU32, lambda _epoch: None)
    assert seen == [8]
    assert "lower experiments.NAME.batch_size" in str(shortage(raised.value))


def test_what_the_head_trains_in_parts_is_not_divided_once_statistics_train(
    network: Network, faces: FaceSet, spec: ModelSpec, recipe: Recipe
) -> None:
    gradual = recipe.model_copy(update={"unfreeze_at": {"base": 2}})
    plan = Plan(gradual, frozenset({"head", "conv5_x"}), 2, 8, 0)
    with room_for(4, network) as seen, pytest.raises(torch.OutOfMemoryError):
        train(network, plan, *examples(faces, spec), CPU32, lambda _epoch: None)
    assert seen == [8, *[4] * 6, 8]


def test_an_error_of_another_kind_is_raised_at_once(
    network: Network, faces: FaceSet, spec: ModelSpec
) -> None:
    network.head.register_forward_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        gradients(network, faces, spec)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is here")
def test_a_gpu_without_room_trains_in_parts(capsys: pytest.CaptureFixture[str]) -> None:
    device = torch.device("cuda")
    spec = ModelSpec(backbone="vgg16", stem="standard", image_size=64, subjects=("a", "b"))
    network = Network(spec).to(device)
    images = torch.randint(256, (1024, 3, 64, 64), dtype=torch.uint8, device=device)
    rows = torch.arange(len(images), device=device)
    training_mode(network, frozenset({*network.blocks, "head"}), "freeze")
    passes = Accumulation(network, Compute(device, torch.float32), 0.0, part=len(rows))
    limit = 3 * 2**30 / torch.cuda.get_device_properties(device).total_memory
    torch.cuda.set_per_process_memory_fraction(limit)
    try:
        loss, _ = passes.backward(ImageInputs(images, spec), rows, rows % 2, rows % 2)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert passes.part < len(rows) and loss.isfinite()
    assert all(parameter.grad is not None for parameter in network.parameters())
    assert "warning: no memory for 1024 images at once" in capsys.readouterr().err
