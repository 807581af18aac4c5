"""Crops and jitter against torchvision's: the same pixels for the same draw, the same spread."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import pytest
import torch
from scipy.stats import ks_2samp
from torch import Tensor
from torchvision.transforms import RandomResizedCrop
from torchvision.transforms import functional as F

from src.config import Augment
from src.data.faceset import FaceSet
from src.models.network import ModelSpec, centre, normalize
from src.training.augment import (
    AugmentedImages,
    augmented,
    draw_params,
    jitter,
    random_boxes,
    resized_crop,
)
from src.training.inputs import ImageInputs
from src.training.order import Purpose, stream

CROP = Augment(random_resized_crop=True)
JITTER = Augment(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1)


@pytest.fixture
def images() -> Tensor:
    """(6, 3, 40, 40) float32: smooth, with clipped and grey parts."""
    noise = torch.rand(6, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    smooth = torch.nn.functional.interpolate(noise, 40, mode="bicubic").clamp(0, 1)
    smooth[0, :, :10] = 0.5
    smooth[1, :, :10] = 0.0
    return smooth


@pytest.mark.parametrize("size", [16, 32, 64])
def test_a_crop_holds_the_pixels_that_torchvision_resizes_it_to(images: Tensor, size: int) -> None:
    boxes = torch.tensor(
        [[0, 0, 40, 40], [3, 5, 20, 31], [39, 0, 1, 40], [10, 20, 12, 9], [1, 1, 38, 38],
         [7, 0, 33, 8]]
    )  # fmt: skip
    ours = resized_crop(images, boxes, size)
    for image, box, mine in zip(images, boxes.tolist(), ours, strict=True):
        theirs = F.resized_crop(image, *box, [size, size], antialias=True)
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("augment", [CROP, Augment(random_resized_crop=True, scale=(0.9, 1.0))])
def test_crops_are_spread_as_torchvisions(augment: Augment) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        image = torch.empty(3, 64, 64)
        pairs = [list(augment.scale), list(augment.ratio)]
        theirs = torch.tensor([RandomResizedCrop.get_params(image, *pairs) for _ in range(4000)])
    ours = random_boxes(augment, 4000, 64, stream(Purpose.crops, 0))
    for column in range(4):
        assert ks_2samp(ours[:, column], theirs[:, column]).pvalue > 0.001
    area = [boxes[:, 2] * boxes[:, 3] for boxes in (ours, theirs)]
    assert ks_2samp(*area).pvalue > 0.001


@pytest.mark.parametrize("ratio", [(200.0, 200.0), (0.005, 0.005)])
def test_crops_of_extreme_ratios_have_a_pixel_at_least(ratio: tuple[float, float]) -> None:
    augment = Augment(random_resized_crop=True, ratio=ratio)
    boxes = random_boxes(augment, 4, 64, torch.Generator().manual_seed(0))
    assert sorted(boxes[0, 2:].tolist()) == [1, 64]


@pytest.mark.parametrize("ratio", [(2.0, 3.0), (0.25, 0.5), (0.5, 2.0)])
def test_where_no_crop_fits_it_is_the_centred_one_that_torchvision_takes(
    ratio: tuple[float, float],
) -> None:
    augment = Augment(random_resized_crop=True, scale=(1.0, 1.0), ratio=ratio)
    boxes = random_boxes(augment, 500, 30, stream(Purpose.crops, 0))
    assert ((boxes[:, :2] + boxes[:, 2:]) <= 30).all() and (boxes >= 0).all()
    if ratio != (0.5, 2.0):
        theirs = RandomResizedCrop.get_params(torch.empty(3, 30, 30), [1.0, 1.0], list(ratio))
        assert boxes.unique(dim=0).tolist() == [list(theirs)]


def test_jitter_gives_torchvisions_colours_in_every_order(images: Tensor) -> None:
    theirs = (F.adjust_brightness, F.adjust_contrast, F.adjust_saturation, F.adjust_hue)
    orders = torch.tensor(list(permutations(range(4))))
    factors = draw_params(JITTER, len(orders), 40, stream(Purpose.crops, 3)).factors
    many = images[torch.arange(len(orders)) % len(images)]
    ours = jitter(many, factors, orders)
    for image, values, order, mine in zip(many, factors.tolist(), orders, ours, strict=True):
        for number in order.tolist():
            image = theirs[number](image, values[number])  # noqa: PLW2901
        torch.testing.assert_close(mine, image, rtol=1e-3, atol=1e-4)


def test_draws_lie_within_their_strengths_and_in_every_order() -> None:
    drawn = draw_params(JITTER, 3000, 40, stream(Purpose.crops, 0))
    assert drawn.factors[:, :3].min() >= 0.6 and drawn.factors[:, :3].max() <= 1.4
    assert drawn.factors[:, 3].abs().max() <= 0.1
    assert drawn.factors[:, :3].mean().item() == pytest.approx(1.0, abs=0.02)
    assert len(drawn.orders.unique(dim=0)) == 24


def test_evaluation_takes_the_centre_that_torchvision_takes() -> None:
    images = torch.randint(256, (2, 3, 31, 31), dtype=torch.uint8)
    for crop in (16, 23, 31):
        spec = ModelSpec(
            backbone="resnet18", stem="standard", image_size=31, subjects=("a", "b"), crop=crop
        )
        expected = F.center_crop(images, [crop, crop]).float() / 255
        torch.testing.assert_close(centre(images, spec), expected)


def test_a_picture_changes_with_seed_and_epoch_and_not_with_its_batch(faces: FaceSet) -> None:
    spec = ModelSpec(
        backbone="resnet18", stem="stride1", image_size=16, subjects=faces.subjects, crop=8
    )
    inputs = ImageInputs(faces.images, spec)
    augment = JITTER.model_copy(update={"random_resized_crop": True, "input_size": 8})
    rows = torch.arange(12)
    views = rows % 2

    def seen(seed: int, epoch: int) -> Tensor:
        return augmented(inputs, augment, seed, epoch).batch(rows, views)

    assert seen(0, 1).shape == (12, 3, 8, 8)
    assert torch.equal(seen(0, 1), seen(0, 1))
    assert not torch.equal(seen(0, 1), seen(0, 2))
    assert not torch.equal(seen(0, 1), seen(1, 1))
    inputs = augmented(inputs, augment, 0, 1)
    assert isinstance(inputs, AugmentedImages)
    one = torch.cat([inputs.batch(rows[i : i + 1], views[i : i + 1]) for i in range(12)])
    torch.testing.assert_close(one, seen(0, 1))


def test_a_crop_of_everything_without_jitter_is_the_picture_itself_or_its_mirror_image(
    faces: FaceSet,
) -> None:
    spec = ModelSpec(
        backbone="resnet18",
        stem="stride1",
        image_size=16,
        subjects=faces.subjects,
        mean=(0.5, 0.4, 0.3),
    )
    augment = Augment(random_resized_crop=True, scale=(1.0, 1.0), ratio=(1.0, 1.0))
    rows = torch.arange(5)
    inputs = augmented(ImageInputs(faces.images, spec), augment, 0, 1)
    seen = inputs.batch(rows, rows % 2)
    shown = [F.hflip(image) if row % 2 else image for row, image in enumerate(faces.images[:5])]
    torch.testing.assert_close(seen, normalize(torch.stack(shown), spec))


def test_without_random_crops_jitter_changes_the_centre_or_its_mirror_image(
    faces: FaceSet,
) -> None:
    spec = ModelSpec(
        backbone="resnet18", stem="stride1", image_size=16, subjects=faces.subjects, crop=8
    )
    augment = Augment(brightness=0.4)
    rows = torch.tensor([30, 4, 17, 5])
    views = torch.tensor([1, 0, 0, 1])
    seen = augmented(ImageInputs(faces.images, spec), augment, 0, 1).batch(rows, views)
    factors = draw_params(augment, len(faces.images), 16, stream(Purpose.crops, 0, 1)).factors
    for row, view, mine in zip(rows, views, seen, strict=True):
        middle = F.center_crop(faces.images[row], [8, 8]) / 255
        shown = F.hflip(middle) if view else middle
        theirs = F.adjust_brightness(shown, factors[row, 0].item())
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)


def test_nothing_random_leaves_the_inputs_as_they_are(faces: FaceSet, spec: ModelSpec) -> None:
    inputs = ImageInputs(faces.images, replace(spec, crop=8))
    assert augmented(inputs, Augment(), 0, 1) is inputs
