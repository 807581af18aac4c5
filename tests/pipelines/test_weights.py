"""The stage `weights`: every kind of origin, and one line for an invalid one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from pipelines.weights import source_of
from src import paths
from src.config import PARAMS, Data, Params, SourceTask, read_yaml, validate
from src.config.presets import read_preset
from src.config.weights import read_weights_origin
from src.data.origins import open_origin
from src.errors import UserError
from src.files import digest
from src.models.pretrained import file_weights
from src.models.weights import SourceWeights, random_weights
from tests.shipped import PRESETS, SHIPPED

BACKBONE = "mobilenet_v3_small"
SMALL = {
    "weights": {"origin": "origin.yaml"},
    "model": {"backbone": BACKBONE, "stem": "standard"},
    "experiments": {"Baseline": {"train": ["head"], "batch_size": 8, "epochs": 1}},
}
PRETRAIN = read_yaml(SHIPPED / "weights/smoke.yaml") | {"licence": "none of yours"}


def made(fields: dict[str, Any], **changes: Any) -> SourceWeights:
    """The stage's result for an origin file in the working directory."""
    Path("origin.yaml").write_text(yaml.safe_dump(fields))
    return source_of(params(**changes))


def params(**changes: Any) -> Params:
    raw = read_yaml(SHIPPED / PARAMS) | SMALL | changes
    raw["data"] = raw["data"] | {"image_size": 32}
    return validate(Params, raw, "params.yaml")


def refused(content: object) -> str:
    Path("origin.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(UserError) as caught:
        source_of(params())
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", [None, *PRESETS])
def test_every_shipped_weights_origin_is_an_origin_file_with_a_licence(name: str | None) -> None:
    raw = read_preset(name, SHIPPED) if name else read_yaml(SHIPPED / PARAMS)
    if weights := raw.get("weights"):
        origin = SHIPPED / weights["origin"]
        if origin.suffix == ".safetensors":
            backbone = raw.get("model", {}).get("backbone", "resnet18")
            assert file_weights(origin, backbone).licence == "MIT"
        else:
            assert read_weights_origin(origin).licence


@pytest.mark.parametrize("backbone", ["resnet18", "mobilenet_v2"])
def test_shipped_weights_are_the_file_that_their_card_describes(backbone: str) -> None:
    origin = SHIPPED / paths.shipped_weights(backbone)
    card = json.loads(origin.with_suffix(".json").read_text())
    assert digest(origin, "sha256") == card["sha256"]
    assert card["sha256"] in (SHIPPED / "weights/README.md").read_text()
    assert card["origin"] in (SHIPPED / "weights/README.md").read_text()


def test_all_shipped_weights_together_stay_under_30_megabytes() -> None:
    assert sum(path.stat().st_size for path in SHIPPED.glob("weights/*.safetensors")) < 30_000_000


def test_the_default_starts_from_shipped_weights() -> None:
    params = read_yaml(SHIPPED / PARAMS)
    shipped = paths.shipped_weights(params["model"]["backbone"])
    assert params["weights"]["origin"] == shipped.as_posix()


@pytest.mark.parametrize(
    ("backbone", "origin"),
    [("resnet18", "objects.yaml"), ("mobilenet_v2", "objects-mobilenet_v2.yaml")],
)
def test_the_card_of_shipped_weights_names_the_task_of_their_origin_file(
    backbone: str, origin: str
) -> None:
    card = json.loads((SHIPPED / f"weights/{backbone}.json").read_text())
    task = read_weights_origin(SHIPPED / "weights" / origin)
    assert isinstance(task, SourceTask)
    assert card["origin"].startswith(f"pretrain ({task.subjects} kinds of objects, ")
    assert (SHIPPED / "pretraining/dvc.lock").is_file()


def test_scratch_is_drawn_from_the_seed_and_keeps_the_stated_licence() -> None:
    source = made({"kind": "scratch", "licence": "CC0-1.0"}, seed=3)
    expected = random_weights(BACKBONE, 3).state
    assert all(torch.equal(tensor, expected[name]) for name, tensor in source.state.items())
    assert (source.origin, source.licence) == ("scratch", "CC0-1.0")
    source.save(Path("source.safetensors"))
    assert SourceWeights.load(Path("source.safetensors")).licence == "CC0-1.0"


def test_pretrain_follows_its_origin_file_and_keeps_its_licence() -> None:
    source = made(PRETRAIN)
    assert source.origin.startswith("pretrain (4 synthetic identities, ")
    assert (source.backbone, source.licence) == (BACKBONE, "none of yours")


def test_weights_of_a_file_are_used_unchanged() -> None:
    given = random_weights(BACKBONE, 5)
    torch.save(dict(given.state), "own.pt")
    source = source_of(params(weights={"origin": "own.pt"}))
    assert all(torch.equal(tensor, given.state[name]) for name, tensor in source.state.items())
    assert source.licence == "unknown"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"kind": "vgg", "licence": "MIT"}, "'vgg'; use one of imagenet, pretrain, scratch"),
        ([], "None; use one of imagenet, pretrain, scratch"),
        (
            {"kind": "scratch", "licence": "MIT", "sed": 1},
            "sed is not a key of scratch; use kind, ",
        ),
        ({"kind": "scratch"}, "licence: is required"),
        (PRETRAIN | {"epoch": 1}, "use kind, licence, task, image_size, families, likeness"),
        (PRETRAIN | {"epochs": 0}, "epochs: Input should be greater than or equal to 1"),
        (
            read_yaml(SHIPPED / "data/smoke.yaml"),
            "for images belongs in data.origin",
        ),
    ],
)
def test_an_invalid_origin_file_is_refused_with_the_valid_kinds_and_keys(
    content: object, said: str
) -> None:
    message = refused(content)
    assert said in message
    assert message.startswith("origin.yaml")


def test_a_missing_origin_is_refused_with_the_existing_origin_files() -> None:
    Path("origin.yaml").write_text("kind: scratch\n")
    with pytest.raises(UserError, match=r"missing\.pt: no such file; .* one of origin\.yaml"):
        source_of(params(weights={"origin": "missing.pt"}))


def test_an_origin_file_for_weights_is_refused_as_a_dataset() -> None:
    with pytest.raises(UserError, match=r"origin file for weights belongs in weights\.origin"):
        open_origin(Data(origin=str(SHIPPED / "weights/pretrain.yaml")))
