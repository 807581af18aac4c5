"""Shipped weights: a pretraining that was stopped resumes, and its checkpoint goes at the end."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from pipelines.pretrain import run
from src import paths
from src.config import read_yaml
from src.errors import ConfigError, OutputError
from src.files import digest
from src.models.network import Network
from src.models.weights import SourceWeights
from src.training import checkpoint
from src.training import pretrain as pretraining
from src.training.loop import Plan
from src.training.result import Epoch
from tests.shipped import SHIPPED

BACKBONE = "mobilenet_v3_small"
WEIGHTS = paths.shipped_weights(BACKBONE)
CHECKPOINT = paths.SCRATCH / f"pretrain-{BACKBONE}.checkpoint"
ORIGIN = Path("origin.yaml")


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working directory with an origin file of three epochs, each of them saved."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(checkpoint, "SECONDS_BETWEEN", 0.0)
    task = read_yaml(SHIPPED / "weights/smoke.yaml") | {"epochs": 3, "licence": "none of yours"}
    ORIGIN.write_text(yaml.safe_dump(task))


@pytest.fixture
def expected(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """The weights of a pretraining that nothing stopped."""
    origin = ORIGIN.read_text()
    with monkeypatch.context() as elsewhere:
        elsewhere.chdir(tmp_path_factory.mktemp("whole"))
        ORIGIN.write_text(origin)
        run(BACKBONE, ORIGIN)
        return WEIGHTS.read_bytes()


def test_weights_in_half_precision_and_their_card_are_written_and_nothing_else() -> None:
    run(BACKBONE, ORIGIN)
    source = SourceWeights.load(WEIGHTS)
    assert (source.backbone, source.licence) == (BACKBONE, "none of yours")
    matrices = [tensor for tensor in source.state.values() if tensor.ndim > 1]
    assert matrices and all(torch.equal(each, each.half().float()) for each in matrices)
    card = json.loads(WEIGHTS.with_suffix(".json").read_text())
    assert card == {"origin": source.origin, "seed": 0, "sha256": digest(WEIGHTS, "sha256")}
    assert not CHECKPOINT.exists()


def test_no_image_that_is_held_out_is_trained_on(monkeypatch: pytest.MonkeyPatch) -> None:
    train, given = pretraining.train, []

    def watched(network: Network, plan: Plan, *rest: Any) -> tuple[Epoch, ...]:
        given.extend(rest[:2])
        return train(network, plan, *rest)

    monkeypatch.setattr(pretraining, "train", watched)
    run(BACKBONE, ORIGIN)
    training, held_out = (
        [image.numpy().tobytes() for image in examples.inputs.images] for examples in given
    )
    task = read_yaml(ORIGIN)
    assert len(training) + len(held_out) == task["subjects"] * task["images_per_subject"]
    assert held_out and not set(training) & set(held_out)


def test_one_that_was_stopped_resumes_to_the_same_bytes(
    expected: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Epoch] = []

    def stopping(epoch: Epoch) -> None:
        seen.append(epoch)
        if len(seen) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(pretraining, "epochs_bar", lambda *_: nullcontext(stopping))
    with pytest.raises(KeyboardInterrupt):
        run(BACKBONE, ORIGIN)
    assert CHECKPOINT.exists() and not WEIGHTS.exists()
    run(BACKBONE, ORIGIN)
    assert [epoch.number for epoch in seen] == [1, 2, 1, 2, 3]
    assert seen[2] == seen[0], "its seconds, too: it was not trained again"
    assert WEIGHTS.read_bytes() == expected


def test_the_checkpoint_stays_where_the_weights_could_not_be_written(expected: bytes) -> None:
    WEIGHTS.parent.mkdir(exist_ok=True)
    WEIGHTS.mkdir()  # a folder of that name
    with pytest.raises(OutputError):
        run(BACKBONE, ORIGIN)
    assert CHECKPOINT.exists()
    WEIGHTS.rmdir()
    run(BACKBONE, ORIGIN)
    assert WEIGHTS.read_bytes() == expected
    assert not CHECKPOINT.exists()


@pytest.mark.parametrize(
    ("backbone", "content", "said"),
    [
        ("resnet99", None, "BACKBONE: is 'resnet99'; use one of "),
        (BACKBONE, {"kind": "scratch", "licence": "MIT"}, "its kind is scratch; use pretrain"),
    ],
)
def test_what_cannot_be_pretrained_is_refused_before_anything_is_rendered(
    backbone: str, content: object, said: str
) -> None:
    if content:
        ORIGIN.write_text(yaml.safe_dump(content))
    with pytest.raises(ConfigError) as caught:
        run(backbone, ORIGIN)
    assert said in str(caught.value)
    assert not paths.SCRATCH.exists() and not WEIGHTS.parent.exists()


@pytest.mark.parametrize(
    ("backbone", "change", "said"),
    [
        (
            BACKBONE,
            {"augment": {"input_size": 65}},
            "larger than its images; use at most 64",
        ),
        ("vgg16", {"image_size": 31}, "vgg16 takes no images under 32 pixels; give at least 32"),
        ("vgg16", {"augment": {"input_size": 31}}, "vgg16 takes no images under 32 pixels"),
    ],
)
def test_sizes_that_a_network_cannot_take_are_refused_before_anything_is_rendered(
    backbone: str, change: dict[str, object], said: str
) -> None:
    task = {**read_yaml(ORIGIN), "image_size": None, **change}
    ORIGIN.write_text(yaml.safe_dump(task))
    with pytest.raises(ConfigError) as caught:
        run(backbone, ORIGIN)
    assert said in str(caught.value) and "\n" not in str(caught.value)
    assert not paths.SCRATCH.exists() and not WEIGHTS.parent.exists()
