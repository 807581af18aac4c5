"""What params.yaml may say about strategies: a wrong name is one line that lists the right ones."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from src.config import PARAMS, Params, read_yaml, validate
from src.errors import ConfigError
from src.models.backbones import BACKBONES
from src.models.network import ModelSpec, Network
from src.models.uninitialized import without_values
from tests.shipped import SHIPPED


def refused(change: dict[str, Any]) -> str:
    raw = read_yaml(SHIPPED / PARAMS)
    for path, value in change.items():
        *sections, key = path.split(".")
        section = raw
        for name in sections:
            section = section[name]
        section[key] = value
    with pytest.raises(ConfigError) as caught:
        validate(Params, raw, "params.yaml")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_an_unknown_backbone_is_answered_with_all_that_are_known() -> None:
    message = refused({"model.backbone": "resnet19"})
    assert "'resnet19'" in message
    assert all(name in message for name in ("resnet18", "mobilenet_v2", "vgg16_bn"))


@pytest.mark.parametrize(
    ("path", "value", "listed"),
    [
        ("experiments.ModelA.train", ["head", "layer4"], "conv4_x, conv5_x, head, all"),
        ("experiments.ModelA.multipliers", {"layer4": 0.1}, "conv5_x, head, base"),
        ("recipes.tuned.multipliers", {"all": 0.1}, "conv5_x, head, base"),
        ("experiments.ModelA.unfreeze_at", {"layer4": 2}, "conv5_x, base"),
        ("recipes.tuned.unfreeze_at", {"head": 2}, "conv5_x, base"),
        ("experiments.ModelA.freeze_at", {"layer4": 2}, "conv5_x, base"),
        ("recipes.tuned.freeze_at", {"head": 2}, "conv5_x, base"),
        ("recipes.tuned.schedule", "cosinus", "'cosine' or 'onecycle'"),
        ("recipes.tuned.optimizer", "lion", "'adam', 'adamw' or 'sgd'"),
        ("recipes.tuned.head_init", "he", "'default' or 'xavier'"),
        ("experiments.ModelA.head", {"kind": "forest"}, "use mlp, svm, logistic, centroid, knn"),
        ("experiments.ModelA.start", "zero", "'source' or 'scratch'"),
    ],
)
def test_an_unknown_name_is_answered_with_the_valid_ones(
    path: str, value: object, listed: str
) -> None:
    assert listed in refused({path: value})


@pytest.mark.parametrize("option", ["unfreeze_at", "freeze_at"])
@pytest.mark.parametrize(
    ("entry", "named"),
    [
        ({"train": ["head", "conv5_x"]}, "conv4_x"),
        ({"train": ["all"], "features": "conv3_x"}, "conv4_x"),
        ({"train": ["head"]}, "base"),
    ],
    ids=str,
)
def test_an_epoch_for_a_block_that_an_experiment_does_not_train_is_refused_but_in_a_recipe(
    entry: dict[str, Any], named: str, option: str
) -> None:
    entry = {"batch_size": 8, "epochs": 5} | entry
    message = refused({"experiments.ModelA": entry | {option: {named: 3}}})
    assert f"ModelA.{option} names {named!r}, which it does not train; remove it" in message
    raw = read_yaml(SHIPPED / PARAMS)
    raw["recipes"]["shared"] = raw["recipes"]["tuned"] | {option: {named: 3, "conv4_x": 99}}
    raw["experiments"]["ModelA"] = entry | {"recipe": "shared"}
    recipe = validate(Params, raw, "params.yaml").recipe_of("ModelA")
    assert getattr(recipe, option)["conv4_x"] == 99


def test_a_network_without_strided_convolutions_in_its_stem_wants_the_standard_one() -> None:
    message = refused({"model.backbone": "vgg16", "experiments": {"A": {
        "train": ["all"], "batch_size": 1, "epochs": 1}}})  # fmt: skip
    assert "no stride-1 stem; use standard" in message


VGG = {
    "model": {"backbone": "vgg16", "stem": "standard"},
    "experiments": {"A": {"train": ["all"], "batch_size": 8, "epochs": 1}},
}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"data.image_size": 31}, "data.image_size is 31, and vgg16 takes no images under 32"),
        (
            {"recipes.tuned.augment": {"input_size": 31}},
            "recipes.tuned.augment.input_size is 31, and vgg16 takes no images under 32",
        ),
    ],
)
def test_images_that_a_backbone_would_pool_to_nothing_are_refused_with_its_least_size(
    change: dict[str, Any], said: str
) -> None:
    assert f"{said} pixels; give at least 32" in refused(VGG | change)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_a_backbone_takes_images_of_its_least_size_with_every_stem(backbone: str) -> None:
    least = BACKBONES[backbone].least
    for stem in ("standard", "stride1") if BACKBONES[backbone].stem_strides else ("standard",):
        with without_values(), torch.no_grad():
            spec = ModelSpec(backbone=backbone, stem=stem, image_size=least, subjects=("a", "b"))
            network = Network(spec).eval()
            assert network(torch.empty(1, 3, least, least)).shape == (1, 2)


@pytest.mark.parametrize(
    ("augment", "mend"),
    [
        ({"input_size": 128}, "use at most 64"),
        ({"scale": [1.0, 0.5]}, "write [0.5, 1.0]"),
        ({"scale": [0.5, 2.0]}, "keep it within (0, 1]"),
        ({"hue": 0.6}, "less than or equal to 0.5"),
    ],
)
def test_augmentation_that_cannot_be_is_refused(augment: dict[str, Any], mend: str) -> None:
    assert mend in refused({"recipes.tuned.augment": augment})


def test_a_name_that_dvc_would_take_for_a_path_of_keys_is_refused() -> None:
    raw = read_yaml(SHIPPED / PARAMS)
    raw["experiments"]["rate-0.1"] = raw["experiments"]["ModelA"]
    with pytest.raises(ConfigError, match=r"rate-0\.1"):
        validate(Params, raw, "params.yaml")
