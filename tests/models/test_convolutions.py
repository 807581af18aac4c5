"""Convolutions of our own give what torch's give, forwards and backwards."""

import copy

import pytest
import torch
from torch import Tensor, nn

from src.models import convolutions
from src.models.convolutions import (
    DepthwiseConv2d,
    TrainingConv2d,
    WinogradLimits,
    speed_up_answers,
    speed_up_convolutions,
    torchs_convolutions,
)
from src.models.network import build_backbone
from src.models.winograd import PART, _product


def test_under_autocast_depthwise_convolutions_give_what_float32_gives() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, groups=8))
    images = torch.randn(4, 8, 12, 12)
    expected = network(images)
    speed_up_convolutions(network)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = network(images.bfloat16())
    assert found.dtype == torch.float32
    assert torch.allclose(found, expected, atol=2e-2)
    assert torch.equal(network(images), expected)


def test_mobilenet_has_all_its_depthwise_convolutions_kept_and_no_other() -> None:
    network = build_backbone("mobilenet_v2", "standard")
    kept = [module for module in network.modules() if isinstance(module, DepthwiseConv2d)]
    assert len(kept) == 17  # one in each inverted residual block (Sandler et al., 2018, table 2)
    residual = build_backbone("resnet18", "standard")
    assert not any(isinstance(module, DepthwiseConv2d) for module in residual.modules())


def gradients(layer: nn.Conv2d, images: Tensor, upstream: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Output, and gradients of images and weights."""
    images = images.clone().requires_grad_()
    layer.zero_grad()
    output = layer(images)
    output.backward(upstream)
    assert images.grad is not None
    assert layer.weight.grad is not None
    return output.detach(), images.grad, layer.weight.grad


@pytest.mark.parametrize("size", [3, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("side", [1, 4, 5])
def test_unfolding_gives_the_outputs_and_gradients_of_torchs_convolution(
    size: int, stride: int, side: int
) -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(64, 6, size, stride, size // 2, bias=False, dtype=torch.float64)
    images = torch.randn(3, 64, side, side, dtype=torch.float64)
    upstream = torch.randn_like(layer(images))
    expected = gradients(layer, images, upstream)
    speed_up_convolutions(nn.Sequential(layer))
    found = gradients(layer, images, upstream)
    assert type(layer) is TrainingConv2d
    assert "Unfolded" in str(layer(images).grad_fn)
    for ours, torchs in zip(found, expected, strict=True):
        assert torch.allclose(ours, torchs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (4, 4), (5, 7), (8, 3), (9, 12)])
def test_winograd_gives_the_outputs_and_gradients_of_torchs_convolution(
    height: int, width: int, channels_last: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        convolutions, "WINOGRAD", WinogradLimits((torch.float64,), channels=1, tiles=1, pixels=0)
    )
    torch.manual_seed(0)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    layer = nn.Conv2d(5, 6, 3, padding=1, bias=False, dtype=torch.float64).to(memory_format=layout)
    images = torch.randn(3, 5, height, width, dtype=torch.float64).to(memory_format=layout)
    upstream = torch.randn_like(layer(images))
    expected = gradients(layer, images, upstream)
    speed_up_convolutions(nn.Sequential(layer))
    found = gradients(layer, images, upstream)
    assert "Winograd" in str(layer(images).grad_fn)
    for ours, torchs in zip(found, expected, strict=True):
        assert torch.allclose(ours, torchs, rtol=1e-10, atol=1e-10)


def test_winograds_float32_errors_are_within_some_roundings_of_what_is_summed() -> None:
    """By the sums of magnitudes, since a direct convolution errs as its processor adds up."""
    torch.manual_seed(0)
    direct = nn.Conv2d(128, 128, 3, padding=1, bias=False).to(memory_format=torch.channels_last)
    ours, exact = copy.deepcopy(direct), copy.deepcopy(direct).double()
    magnitudes = copy.deepcopy(exact)
    magnitudes.weight.data.abs_()
    speed_up_convolutions(nn.Sequential(ours))
    images = torch.randn(16, 128, 8, 8).relu().to(memory_format=torch.channels_last)
    upstream = torch.randn_like(images)
    assert "Winograd" in str(ours(images).grad_fn)
    rounding = torch.finfo(torch.float32).eps
    for found, right, summed in zip(
        gradients(ours, images, upstream),
        gradients(exact, images.double(), upstream.double()),
        gradients(magnitudes, images.double().abs(), upstream.double().abs()),
        strict=True,
    ):
        assert bool(((found - right).abs() < 64 * rounding * summed).all())
        assert (found - right).norm() < 5e-6 * right.norm()


def test_winograd_serves_wide_convolutions_that_train_in_float32_with_enough_tiles() -> None:
    def way(layer: nn.Conv2d, images: Tensor) -> str:
        return str(layer(images).grad_fn)

    wide, narrow = nn.Conv2d(128, 128, 3, 1, 1, bias=False), nn.Conv2d(32, 128, 3, 1, 1, bias=False)
    strided = nn.Conv2d(128, 128, 3, 2, 1, bias=False)
    speed_up_convolutions(nn.Sequential(wide, narrow, strided))
    assert "Winograd" in way(wide, torch.randn(16, 128, 8, 8))
    assert "Winograd" not in way(narrow, torch.randn(16, 32, 8, 8))
    assert "Winograd" not in way(strided, torch.randn(16, 128, 16, 16))
    assert "Unfolded" in way(wide, torch.randn(8, 128, 8, 8)), "too few tiles"
    assert "Winograd" not in way(wide, torch.randn(16, 128, 5, 5)), "most of the tiles juts out"
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert "Winograd" not in way(wide, torch.randn(16, 128, 8, 8))
    with torch.no_grad():
        images = torch.randn(16, 128, 8, 8)
        assert torch.equal(wide(images), nn.functional.conv2d(images, wide.weight, padding=1))


@pytest.mark.parametrize("columns", [PART - 1, PART, 3 * PART, 3 * PART + 1])
def test_products_in_parts_are_those_of_whole_matrices(columns: int) -> None:
    torch.manual_seed(0)
    matrix, values = torch.randn(36, 9, dtype=torch.float64), torch.randn(9, columns).double()
    for found, expected in (
        (_product(matrix, values), matrix @ values),
        (_product(matrix.t(), values.repeat(4, 1)), matrix.t() @ values.repeat(4, 1)),
    ):
        assert found.is_contiguous()
        assert torch.allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_every_convolution_is_torchs_where_that_is_asked_for() -> None:
    layer = nn.Conv2d(128, 128, 3, padding=1, bias=False)
    speed_up_convolutions(nn.Sequential(layer))
    for images in torch.randn(16, 128, 8, 8), torch.randn(1, 128, 8, 8):
        assert layer(images).grad_fn.name() != "ConvolutionBackward0"
        with torchs_convolutions():
            assert layer(images).grad_fn.name() == "ConvolutionBackward0"
    assert layer(images).grad_fn.name() != "ConvolutionBackward0", "only inside the block"


def test_under_autocast_unfolding_rounds_as_torchs_convolution_does() -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(64, 32, 3, 1, 1, bias=False).to(memory_format=torch.channels_last)
    images = torch.randn(4, 64, 4, 4).bfloat16()
    upstream = torch.randn(4, 32, 4, 4).bfloat16()
    exact = gradients(layer, images.float(), upstream.float())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        theirs = gradients(layer, images, upstream)
        speed_up_convolutions(nn.Sequential(layer))
        ours = gradients(layer, images, upstream)
    for found, torchs, wanted in zip(ours, theirs, exact, strict=True):
        assert found.dtype == torchs.dtype
        assert (found - wanted).norm() <= 1.1 * (torchs - wanted).norm()


def test_only_convolutions_with_few_outputs_that_train_are_unfolded() -> None:
    layer = nn.Conv2d(64, 8, 3, padding=1, bias=False)
    speed_up_convolutions(nn.Sequential(layer))
    few, many = torch.randn(2, 64, 8, 8), torch.randn(16, 64, 8, 8)
    assert "Unfolded" in str(layer(few).grad_fn)
    assert "Unfolded" not in str(layer(many).grad_fn)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert "Unfolded" in str(layer(many).grad_fn), "oneDNN is slower there, so that more pay"
    with torch.no_grad():
        assert torch.equal(layer(few), nn.functional.conv2d(few, layer.weight, padding=1))
    layer.requires_grad_(requires_grad=False)
    assert layer(few.requires_grad_()).grad_fn.name() == "ConvolutionBackward0"


def test_wide_convolutions_that_skip_pixels_are_unfolded_in_float32() -> None:
    def way(layer: nn.Conv2d, channels: int) -> str:
        return str(layer(torch.randn(16, channels, 32, 32)).grad_fn)

    wide, narrow = (nn.Conv2d(channels, 8, 3, 2, 1, bias=False) for channels in (128, 64))
    speed_up_convolutions(nn.Sequential(wide, narrow))
    assert "Unfolded" in way(wide, 128)
    assert "Unfolded" not in way(narrow, 64)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert "Unfolded" not in way(wide, 128)


def test_convolutions_that_are_not_plain_stay_as_they_are() -> None:
    others = [
        nn.Conv2d(8, 8, 3, padding=1),  # with a bias
        nn.Conv2d(8, 8, 1, bias=False),
        nn.Conv2d(8, 8, 4, padding=2, bias=False),
        nn.Conv2d(8, 8, 3, bias=False),  # without a border
        nn.Conv2d(8, 8, 3, padding=1, groups=4, bias=False),
        nn.Conv2d(8, 8, 3, padding=2, dilation=2, bias=False),
        nn.Conv2d(8, 8, 3, padding=1, padding_mode="reflect", bias=False),
    ]
    speed_up_convolutions(nn.Sequential(*others))
    assert {type(layer) for layer in others} == {nn.Conv2d}


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("count", [16, 70])
def test_where_nothing_trains_winograd_serves_if_that_is_asked_for(
    count: int, bias: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(convolutions, "TILES_AT_ONCE", 4 * 32)
    torch.manual_seed(0)
    layer, images = nn.Conv2d(128, 128, 3, 1, 1, bias=False), torch.randn(count, 128, 8, 8)
    speed_up_convolutions(nn.Sequential(layer))
    layer.bias = nn.Parameter(torch.randn(128)) if bias else None  # as folding BatchNorm gives it
    with torch.no_grad():
        expected = nn.functional.conv2d(images, layer.weight, layer.bias, padding=1)
        assert torch.equal(layer(images), expected)
        speed_up_answers(nn.Sequential(layer))
        found = layer(images)
        few = torch.randn(count, 64, 8, 8)
        narrow = nn.Conv2d(64, 64, 3, 1, 1, bias=False)
        speed_up_convolutions(nn.Sequential(narrow))
        speed_up_answers(nn.Sequential(narrow))
        direct = nn.functional.conv2d(few, narrow.weight, padding=1)
        assert torch.equal(narrow(few), direct), "its transforms cost what it saves"
    assert not torch.equal(found, expected)
    assert (found - expected).norm() < 5e-6 * expected.norm()
