"""The stage `weights`: every origin there is, and one line for those that are none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from pipelines.weights import source_of
from src.config import PARAMS, Data, Params, Pretrain, read_source, read_yaml, validate
from src.config.presets import read_preset
from src.data.origin import open_origin
from src.errors import UserError
from src.models.weights import SourceWeights, random_weights
from tests.shipped import PRESETS, SHIPPED

BACKBONE = "mobilenet_v3_small"
SMALL = {
    "weights": {"origin": "recipe.yaml"},
    "model": {"backbone": BACKBONE, "stem": "standard"},
    "experiments": {"Baseline": {"train": ["head"], "batch_size": 8, "epochs": 1}},
}
PRETRAIN = read_yaml(SHIPPED / "weights/smoke.yaml") | {"licence": "none of yours"}


def made(recipe: dict[str, Any], **changes: Any) -> SourceWeights:
    """What the stage makes of a recipe in the working directory."""
    Path("recipe.yaml").write_text(yaml.safe_dump(recipe))
    return source_of(params(**changes))


def params(**changes: Any) -> Params:
    raw = read_yaml(SHIPPED / PARAMS) | SMALL | changes
    raw["data"] = raw["data"] | {"image_size": 32}
    return validate(Params, raw, "params.yaml")


def refused(recipe: object) -> str:
    Path("recipe.yaml").write_text(yaml.safe_dump(recipe))
    with pytest.raises(UserError) as caught:
        source_of(params())
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", [None, *PRESETS])
def test_every_origin_that_is_shipped_is_a_recipe(name: str | None) -> None:
    raw = read_preset(name, SHIPPED) if name else read_yaml(SHIPPED / PARAMS)
    if weights := raw.get("weights"):
        assert read_source(SHIPPED / weights["origin"]).licence


def test_the_default_source_is_the_one_whose_results_are_documented() -> None:
    task = read_source(SHIPPED / read_yaml(SHIPPED / PARAMS)["weights"]["origin"])
    assert isinstance(task, Pretrain)
    assert (task.task, task.subjects, task.images_per_subject) == ("faces", 200, 20)
    assert (task.epochs, task.batch_size) == (4, 64)
    assert (task.learning_rate, task.weight_decay) == (0.002, 0.02)


def test_scratch_is_drawn_from_the_seed_and_states_the_recipes_licence() -> None:
    source = made({"kind": "scratch", "licence": "CC0-1.0"}, seed=3)
    expected = random_weights(BACKBONE, 3).state
    assert all(torch.equal(tensor, expected[name]) for name, tensor in source.state.items())
    assert (source.origin, source.licence) == ("scratch", "CC0-1.0")
    source.save(Path("source.safetensors"))
    assert SourceWeights.load(Path("source.safetensors")).licence == "CC0-1.0"


def test_pretrain_follows_its_recipe_and_states_its_licence() -> None:
    source = made(PRETRAIN)
    assert source.origin.startswith("pretrain (4 synthetic identities, ")
    assert (source.backbone, source.licence) == (BACKBONE, "none of yours")


def test_a_file_is_taken_as_it_is() -> None:
    given = random_weights(BACKBONE, 5)
    torch.save(dict(given.state), "own.pt")
    source = source_of(params(weights={"origin": "own.pt"}))
    assert all(torch.equal(tensor, given.state[name]) for name, tensor in source.state.items())
    assert source.licence == "unknown"


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        ({"kind": "vgg", "licence": "MIT"}, "'vgg'; use one of imagenet, pretrain, scratch"),
        ([], "None; use one of imagenet, pretrain, scratch"),
        (
            {"kind": "scratch", "licence": "MIT", "sed": 1},
            "sed is not a key of scratch; use kind, ",
        ),
        ({"kind": "scratch"}, "licence: is required"),
        (PRETRAIN | {"epoch": 1}, "use kind, licence, task, image_size, subjects"),
        (PRETRAIN | {"epochs": 0}, "epochs: Input should be greater than or equal to 1"),
        (read_yaml(SHIPPED / "data/smoke.yaml"), "origin files of images belong in data.origin"),
    ],
)
def test_a_recipe_that_is_wrong_is_answered_with_what_is_right(recipe: object, said: str) -> None:
    message = refused(recipe)
    assert said in message
    assert message.startswith("recipe.yaml")


def test_a_missing_origin_is_answered_with_the_recipes_there_are() -> None:
    Path("recipe.yaml").write_text("kind: scratch\n")
    with pytest.raises(UserError, match=r"missing\.pt: no such file; .* one of recipe\.yaml"):
        source_of(params(weights={"origin": "missing.pt"}))


def test_a_recipe_of_weights_is_no_origin_of_pictures() -> None:
    with pytest.raises(UserError, match=r"recipes of weights belong to weights\.origin"):
        open_origin(Data(origin=str(SHIPPED / "weights/pretrain.yaml")))
