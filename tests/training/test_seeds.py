"""Each of several seeds ends in the bits that it has alone; what they can share, they share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from src.config import Params, Recipe
from src.data.faceset import FaceSet, Split
from src.models.classifier import Classifier
from src.models.network import Network
from src.training import networks
from src.training.engine import run_job, run_seeds
from src.training.job import TrainingJob
from src.training.result import TrainingResult
from src.training.temperature import fit_temperature
from tests.training.conftest import make_job

SEEDS, TWO = (3, 4, 7), (3, 7)
HEAD, TOP = ("head",), ("head", "conv5_x")
MLP = {"hidden": (32, 16), "dropout": (0.5, 0.0)}


def job_of(
    faces: FaceSet, params: Params, recipe: Recipe, folder: Path, **experiment: Any
) -> TrainingJob:
    return make_job(faces, params, recipe, folder, **{"train": HEAD, "epochs": 2} | experiment)


def assert_same(one: TrainingResult, other: TrainingResult) -> None:
    assert one.state.keys() == other.state.keys()
    assert all(torch.equal(one.state[name], other.state[name]) for name in one.state)
    assert one.chosen.number == other.chosen.number
    assert one.weight_change == other.weight_change
    for epoch, same in zip(one.history, other.history, strict=True):
        assert (epoch.train_loss, epoch.val_loss) == (same.train_loss, same.val_loss)


@pytest.mark.parametrize(
    ("changes", "experiment"),
    [
        ({}, {"head": MLP, "epochs": 3}),
        ({"patience": 1, "learning_rate": 0.3}, {"epochs": 6}),
        ({"batchnorm": "adapt"}, {}),
        ({"batchnorm": "recalibrate"}, {"train": TOP}),
        ({}, {"train": TOP}),
        ({}, {"train": TOP, "start": "scratch"}),
        ({}, {"start": "scratch"}),
        ({"batchnorm": "train"}, {"train": ("all",), "epochs": 1}),
        ({}, {"head": {"kind": "logistic"}, "epochs": 1}),
    ],
    ids=[
        "mlp heads",
        "heads that stop early",
        "heads on adapting features",
        "recalibrated statistics",
        "a cached prefix",
        "a prefix of its own",
        "features of its own",
        "the whole network",
        "a classical head",
    ],
)
def test_a_seed_among_others_is_the_seed_alone(
    faces: FaceSet,
    params: Params,
    recipe: Recipe,
    tmp_path: Path,
    changes: dict[str, Any],
    experiment: dict[str, Any],
) -> None:
    changed = recipe.model_copy(update=changes)
    job = job_of(faces, params, changed, tmp_path / "all", **experiment)
    seen: list[tuple[int, int]] = []
    results = run_seeds(job, TWO, lambda epoch, seed: seen.append((seed, epoch.number)))
    for place, seed in enumerate(TWO):
        own = params.model_copy(update={"seed": seed})
        alone = job_of(faces, own, changed, tmp_path / f"{seed}", **experiment)
        assert_same(results[place], run_job(alone, lambda _epoch: None))
        numbers = [number for counted, number in seen if counted == place]
        assert numbers == [epoch.number for epoch in results[place].history]
    heads = [{k: v for k, v in r.state.items() if k.startswith("fc.")} for r in results]
    if job.experiment.head.kind == "mlp":  # the same folds may choose the same classical head
        assert not all(torch.equal(heads[0][name], heads[1][name]) for name in heads[0])


@pytest.mark.parametrize(
    ("batchnorm", "experiment"),
    [
        ("freeze", {}),
        ("adapt", {}),
        ("freeze", {"train": TOP}),
        ("train", {"train": ("all",), "epochs": 1}),
        ("freeze", {"head": {"kind": "svm"}, "epochs": 1}),
        ("freeze", {"head": MLP}),
    ],
)
def test_every_engine_fits_the_temperature_to_the_networks_answers_as_they_are_kept(
    faces: FaceSet,
    params: Params,
    recipe: Recipe,
    tmp_path: Path,
    batchnorm: str,
    experiment: dict[str, Any],
) -> None:
    changed = recipe.model_copy(update={"batchnorm": batchnorm})
    job = job_of(faces, params, changed, tmp_path, **experiment)
    result = run_job(job, lambda _epoch: None)
    network = Network(result.spec)
    network.load_state_dict(result.state)
    images, labels = faces.part(Split.val)
    logits = Classifier(network.eval(), result.spec).logits(images)
    assert result.spec.temperature == pytest.approx(fit_temperature(logits, labels), rel=1e-3)


@pytest.mark.parametrize(("start", "times"), [("source", 2), ("scratch", 6)])
def test_what_is_frozen_is_computed_once_for_all_seeds_that_share_it(
    faces: FaceSet,
    params: Params,
    recipe: Recipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    start: str,
    times: int,
) -> None:
    """`times`: training and validation images, once or once for each of three seeds."""
    calls, compute = [], networks.cache_prefix

    def counted(*arguments: Any) -> Any:
        calls.append(arguments)
        return compute(*arguments)

    monkeypatch.setattr(networks, "cache_prefix", counted)
    job = job_of(faces, params, recipe, tmp_path, train=TOP, start=start, epochs=1)
    run_seeds(job, SEEDS, lambda _epoch, _seed: None)
    assert len(calls) == times


def test_finished_seeds_keep_their_checkpoints_until_all_have_finished(
    faces: FaceSet, params: Params, recipe: Recipe, tmp_path: Path
) -> None:
    job = job_of(faces, params, recipe, tmp_path, train=TOP)
    kept: dict[tuple[int, int], list[str]] = {}

    def on_epoch(epoch: Any, seed: int) -> None:
        kept[seed, epoch.number] = sorted(path.name for path in tmp_path.glob("*.checkpoint"))

    run_seeds(job, SEEDS, on_epoch)
    assert kept[0, 2] == []
    assert kept[1, 1] == ["one-seed3.checkpoint"]
    assert kept[2, 2] == ["one-seed3.checkpoint", "one-seed4.checkpoint"]
    assert not list(tmp_path.glob("*.checkpoint"))


def test_checkpoints_stay_where_results_cannot_be_written(
    faces: FaceSet, params: Params, recipe: Recipe, tmp_path: Path
) -> None:
    job = job_of(faces, params, recipe, tmp_path, train=TOP)
    trained: list[tuple[int, int]] = []

    def on_epoch(epoch: Any, seed: int) -> None:
        trained.append((seed, epoch.number))

    def refuse(_results: object) -> None:
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        run_seeds(job, TWO, on_epoch, on_results=refuse)
    assert [path.name for path in tmp_path.glob("*.checkpoint")] == ["one-seed3.checkpoint"]
    kept: list[tuple[TrainingResult, ...]] = []
    results = run_seeds(job, TWO, on_epoch, on_results=kept.append)
    assert kept == [results]
    assert not list(tmp_path.glob("*.checkpoint"))
