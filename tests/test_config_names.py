"""What params.yaml may say about strategies: a wrong name is one line that lists the right ones."""

from __future__ import annotations

from typing import Any

import pytest

from src.config import PARAMS, Params, read_yaml, validate
from src.errors import ConfigError
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


def test_a_network_without_strided_convolutions_in_its_stem_wants_the_standard_one() -> None:
    message = refused({"model.backbone": "vgg16", "experiments": {"A": {
        "train": ["all"], "batch_size": 1, "epochs": 1}}})  # fmt: skip
    assert "no stride-1 stem; use standard" in message


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
