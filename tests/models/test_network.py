"""Networks by blocks: torchvision's function and names, kept stem weights, safe files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torchvision

from src.config import Head
from src.errors import WeightsError
from src.models.backbones import BACKBONES
from src.models.classifier import Classifier
from src.models.convolutions import torchs_convolutions
from src.models.network import ModelSpec, Network, load_network, normalize, save_network
from src.models.summary import layers
from src.training.prefix import folded

SUBJECTS = ("a", "b", "c")
FAMILIES = (
    "resnet18",
    "resnet50",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "efficientnet_b0",
    "efficientnet_v2_s",
    "vgg16_bn",
)
WHOLE_HEAD = ("mobilenet_v3_small", "vgg16_bn")  # more than a linear layer gives way


@pytest.mark.parametrize("name", list(BACKBONES))
def test_a_backbones_table_names_every_module_and_the_width_of_its_features(name: str) -> None:
    backbone = BACKBONES[name]
    stems = ("standard", "stride1") if backbone.stem_strides else ("standard",)
    with torch.device("meta"):
        for stem in stems:
            network = Network(
                ModelSpec(backbone=name, stem=stem, image_size=64, subjects=SUBJECTS)
            ).eval()
            features = network.run(torch.empty(1, 3, 64, 64), 0, len(network.blocks))
            assert features.shape == (1, backbone.features)
            last = network.run(torch.empty(1, 3, 64, 64), 0, len(network.blocks) - 1)
            assert last.shape[-1] <= (8 if stem == "standard" else 32)
    listed = {
        id(p) for b in (*network.blocks, "head") for m in network.block(b) for p in m.parameters()
    }
    assert listed == {id(p) for p in network.parameters()}


@pytest.mark.parametrize("backbone", [name for name in FAMILIES if name not in WHOLE_HEAD])
def test_blocks_in_a_row_compute_what_torchvisions_network_computes(backbone: str) -> None:
    network = Network(
        ModelSpec(backbone=backbone, stem="standard", image_size=64, subjects=SUBJECTS)
    ).eval()
    theirs = torchvision.models.get_model(backbone, num_classes=3).eval()
    head = f"{network.backbone.head}."
    theirs.load_state_dict(
        {n: t for n, t in network.state_dict().items() if not n.startswith(head)}, strict=False
    )
    linear = theirs.get_submodule(network.backbone.head)
    linear = linear if isinstance(linear, torch.nn.Linear) else linear[-1]
    linear.load_state_dict(network.head.state_dict())
    image = torch.rand(2, 3, 64, 64)
    torch.testing.assert_close(network(image), theirs(image))
    for cut in range(len(network.blocks) + 1):
        through = network(network.run(image, 0, cut), cut)
        torch.testing.assert_close(through, theirs(image))


@pytest.mark.parametrize("backbone", FAMILIES)
def test_folding_batchnorm_into_convolutions_changes_nothing_but_rounding(backbone: str) -> None:
    generator = torch.Generator().manual_seed(0)
    network = Network(
        ModelSpec(backbone=backbone, stem="standard", image_size=32, subjects=SUBJECTS)
    ).eval()
    for name, buffer in network.named_buffers():
        if name.endswith("running_var"):
            buffer.uniform_(0.5, 2, generator=generator)
        if name.endswith("running_mean"):
            buffer.normal_(generator=generator)
    image = torch.rand(2, 3, 32, 32, generator=generator)
    stop = len(network.blocks)
    expected = network.run(image, 0, stop)
    given = folded(network, torch.float32).run(image, 0, stop)
    torch.testing.assert_close(given, expected, rtol=1e-3, atol=1e-4 * expected.abs().max().item())


def test_the_stride1_stem_keeps_every_weight_and_ends_in_8_by_8_maps() -> None:
    standard = Network(
        ModelSpec(backbone="resnet18", stem="standard", image_size=64, subjects=SUBJECTS)
    )
    stride1 = Network(
        ModelSpec(backbone="resnet18", stem="stride1", image_size=64, subjects=SUBJECTS)
    )
    shapes = {name: tensor.shape for name, tensor in standard.state_dict().items()}
    assert {name: tensor.shape for name, tensor in stride1.state_dict().items()} == shapes
    maps = {layer.name: layer.feature_map for layer in layers(stride1, 64)}
    assert maps["layer4.1.conv2"] == (512, 8, 8)
    assert maps["conv1"] == (64, 64, 64)


def test_parameter_counts_are_the_published_ones_at_100_classes() -> None:
    network = Network(
        ModelSpec(
            backbone="resnet18", stem="stride1", image_size=64, subjects=tuple(map(str, range(100)))
        )
    )
    assert sum(p.numel() for p in network.parameters()) == 11_227_812
    assert sum(p.numel() for p in network.head.parameters()) == 51_300


def test_receptive_fields_are_those_that_gradients_show() -> None:
    """The field of a unit is what of the image its gradient reaches, with all weights positive."""
    network = Network(
        ModelSpec(backbone="resnet18", stem="stride1", image_size=200, subjects=SUBJECTS)
    ).eval()
    for parameter in network.parameters():
        torch.nn.init.constant_(parameter, 0.01)
    computed = {layer.name: layer.receptive_field for layer in layers(network, 200)}
    for block, last in (("conv2_x", "layer1.1.conv2"), ("conv3_x", "layer2.1.conv2")):
        image = torch.rand(1, 3, 200, 200, requires_grad=True)
        with torchs_convolutions():  # Winograd's rounding errors are not zero next to the field
            output = network.run(image, 0, network.blocks.index(block) + 1)
        middle = output.shape[-1] // 2
        output[0, 0, middle, middle].backward()
        assert image.grad is not None
        seen = image.grad[0].abs().sum(0).nonzero()
        # Max pooling passes on one of the pixels it sees, so a gradient may miss the outermost.
        extent = (seen.max(0).values - seen.min(0).values + 1).max().item()
        assert computed[last] - 2 <= extent <= computed[last]


def test_a_saved_network_comes_back_the_same_and_gives_the_same_bytes_twice(
    tmp_path: Path,
) -> None:
    spec = ModelSpec(
        backbone="resnet18",
        stem="stride1",
        image_size=32,
        subjects=("ann", "bób"),
        head=Head(hidden=(8,), dropout=(0.5,)),
    )
    network = Network(spec).eval()
    for name in ("one", "two"):
        save_network(tmp_path / name, network.state_dict(), spec)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    loaded, loaded_spec = load_network(tmp_path / "one")
    assert loaded_spec == spec
    image = torch.rand(1, 3, 32, 32)
    assert torch.equal(loaded(image), network(image))


def test_a_file_that_is_no_network_is_refused_on_one_line(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(WeightsError, match=r"not a trained network .*dvc repro") as caught:
        load_network(path)
    assert "\n" not in str(caught.value)


def test_the_stored_form_of_a_specification_does_not_change() -> None:
    """Model files are compared byte for byte, keys in their order."""
    spec = ModelSpec(
        backbone="resnet18", stem="stride1", image_size=32, subjects=("a",), head=Head(hidden=(8,))
    )
    assert json.dumps(spec.stored_form()) == (
        '{"backbone": "resnet18", "stem": "stride1", "image_size": 32, "subjects": ["a"], '
        '"hidden": [8], "dropout": [0.0], "mean": [0.0, 0.0, 0.0], "deviation": [1.0, 1.0, 1.0], '
        '"kind": "mlp", "fit": "crop"}'
    )


def test_images_are_scaled_and_normalised_per_channel() -> None:
    spec = ModelSpec(
        backbone="resnet18",
        stem="stride1",
        image_size=2,
        subjects=SUBJECTS,
        mean=(0.5, 0, 0),
        deviation=(0.5, 1, 2),
    )
    image = torch.full((1, 3, 2, 2), 255, dtype=torch.uint8)
    assert normalize(image, spec)[0, :, 0, 0].tolist() == pytest.approx([1.0, 1.0, 0.5])


def test_a_temperature_is_stored_and_one_out_of_range_refused(tmp_path: Path) -> None:
    spec = ModelSpec(
        backbone="resnet18", stem="stride1", image_size=32, subjects=("a",), temperature=0.5
    )
    assert ModelSpec.from_stored_form(spec.stored_form()) == spec
    for wrong in (0.0, -1.0, 1e9, float("inf"), "1"):
        with pytest.raises(ValueError):
            ModelSpec.from_stored_form({**spec.stored_form(), "temperature": wrong})


def test_probabilities_are_calibrated_and_logits_are_not() -> None:
    spec = ModelSpec(
        backbone="resnet18", stem="stride1", image_size=16, subjects=SUBJECTS, temperature=0.5
    )
    classifier = Classifier(Network(spec).eval(), spec)
    images = torch.randint(256, (2, 3, 16, 16), dtype=torch.uint8)
    plain = Classifier(classifier.network, replace(spec, temperature=1.0))
    logits = classifier.logits(images)
    assert torch.equal(logits, plain.logits(images))
    torch.testing.assert_close(classifier.probabilities(images), (2 * logits).softmax(1))
