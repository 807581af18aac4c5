"""The four-quadrant rule, where to cut, and advice on real files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from src.advise.rule import Candidate, Strategy, blocks_above, rank, reasons, strategy_of
from src.advise.situation import Situation
from tests.shipped import SHIPPED

BLOCKS = ("conv1", "conv2_x", "conv3_x", "conv4_x", "conv5_x")


def situation(images: int, *probes: float) -> Situation:
    return Situation(images, 10, dict(zip(BLOCKS, probes, strict=True)), -0.5, 1e11)


def candidate(name: str, unfrozen: int, parameters: int, scratch: bool = False) -> Candidate:
    blocks = BLOCKS[len(BLOCKS) - unfrozen :]
    return Candidate(name, strategy_of(blocks, BLOCKS, scratch), blocks, parameters, 1.0)


TEN = (
    candidate("scratch", 5, 11, scratch=True),
    candidate("C", 5, 11),
    candidate("B", 2, 10),
    candidate("A", 1, 8),
    candidate("mlp", 0, 2),
    candidate("linear", 0, 1),
)


@pytest.mark.parametrize(
    ("images", "last", "strategy"),
    [
        (200, 0.95, "head"),
        (200, 0.5, "last blocks"),
        (2000, 0.95, "everything"),
        (2000, 0.5, "everything"),
    ],
)
def test_each_quadrant_has_its_answer(images: int, last: float, strategy: Strategy) -> None:
    ranking = rank(situation(images, 0.1, 0.2, 0.3, 0.4, last), TEN)
    assert ranking[0].strategy == strategy
    assert sorted(ranking, key=str) == sorted(TEN, key=str)


def test_few_images_prefer_the_smaller_head_and_many_the_larger() -> None:
    few, many = (
        [c.name for c in rank(situation(n, 0.1, 0.2, 0.3, 0.4, 0.95), TEN) if not c.unfrozen]
        for n in (200, 2000)
    )
    assert (few, many) == (["linear", "mlp"], ["mlp", "linear"])


@pytest.mark.parametrize(
    ("probes", "first"),
    [
        ((0.1, 0.2, 0.3, 0.4, 0.5), "A"),
        ((0.1, 0.2, 0.3, 0.6, 0.5), "A"),
        ((0.1, 0.2, 0.7, 0.6, 0.5), "B"),
    ],
)
def test_the_blocks_above_the_best_probing_one_train(probes: tuple[float, ...], first: str) -> None:
    given = situation(200, *probes)
    assert rank(given, TEN)[0].name == first
    assert set(blocks_above(given)) <= set(BLOCKS)
    assert any(blocks_above(given)[0] in reason for reason in reasons(given))


def test_chance_is_no_skill_whatever_the_number_of_classes() -> None:
    assert situation(200, 0, 0, 0, 0, 0.1).skill == pytest.approx(0)
    assert situation(200, 0, 0, 0, 0, 1.0).skill == pytest.approx(1)


def test_a_missing_dataset_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from src import cli
    from src.advise.__main__ import main

    params = SHIPPED / "params.yaml"
    (tmp_path / "params.yaml").write_text(params.read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        cli.run(main, [])
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "dvc repro dataset weights" in said


def test_advice_ranks_every_experiment_of_a_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch
    import yaml

    from src.advise.__main__ import main
    from src.data.faceset import FaceSet
    from src.models.weights import random_weights

    raw = yaml.safe_load((SHIPPED / "params.yaml").read_text(encoding="utf-8"))
    raw["data"]["image_size"] = 32
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(raw), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 255, (42, 3, 32, 32), generator=generator, dtype=torch.uint8)
    split = torch.tensor([0] * 8 + [1] * 4 + [2] * 2, dtype=torch.uint8).repeat(3)
    labels = torch.arange(3).repeat_interleave(14)
    FaceSet(images, labels, split, ("ann", "bob", "cyd")).save(Path("data/faces.safetensors"))
    random_weights("resnet18", 0).save(Path("models/source.safetensors"))
    main(["--json"])
    printed = capsys.readouterr()
    assert printed.err.count("\n") == 1 and "running the source network, " in printed.err
    advice = json.loads(printed.out)
    assert {each["name"] for each in advice["ranking"]} == set(raw["experiments"])
    assert all(each["seconds"] > 0 for each in advice["ranking"])
    assert list(advice["situation"]["probes"]) == list(BLOCKS)
    assert not list(tmp_path.glob("**/*.db"))
