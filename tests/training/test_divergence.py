"""Training whose loss is not finite ends at once, in one line that says where and why."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml

from pipelines.train import main
from src import paths
from src.cli import run
from src.config import PARAMS, Params, Recipe
from src.data.faceset import FaceSet
from src.errors import DivergedError
from src.files import write_json
from src.models.weights import random_weights
from src.tracking.store import open_store
from src.training.engine import run_job
from src.training.heads import DivergedHead, try_heads
from src.training.job import TrainingJob
from src.training.result import Epoch
from tests import fabricate
from tests.shipped import SHIPPED
from tests.tracking.projects import EXPERIMENT, Project
from tests.training.conftest import CLASSES, Blobs, make_job, tasks

NETWORK, HEAD = ("head", "conv5_x"), ("head",)


def diverging(
    faces: FaceSet, params: Params, recipe: Recipe, scratch: Path, train: tuple[str, ...]
) -> TrainingJob:
    absurd = recipe.model_copy(update={"learning_rate": 1e38, "schedule": "constant"})
    return make_job(faces, params, absurd, scratch, train=train, epochs=3)


@pytest.mark.parametrize("train", [NETWORK, HEAD], ids=["network", "head"])
def test_an_absurd_learning_rate_ends_training_in_the_epoch_that_it_shows_in(
    faces: FaceSet, params: Params, recipe: Recipe, tmp_path: Path, train: tuple[str, ...]
) -> None:
    seen: list[Epoch] = []
    job = diverging(faces, params, recipe, tmp_path, train)
    with pytest.raises(DivergedError, match=r"^seed 0, epoch 1, batch 2 of 3: .*rate is too high"):
        run_job(job, seen.append)
    assert not seen


@pytest.mark.parametrize("train", [NETWORK, HEAD], ids=["network", "head"])
def test_weights_that_overflow_are_told_from_a_rate_that_is_too_high(
    faces: FaceSet, params: Params, recipe: Recipe, tmp_path: Path, train: tuple[str, ...]
) -> None:
    job = make_job(faces, params, recipe, tmp_path, train=train, epochs=3)
    point = job.starting_point
    state = {
        name: tensor * 1e30 if tensor.ndim == 4 else tensor
        for name, tensor in point.source.state.items()
    }
    point = replace(point, source=replace(point.source, state=state))
    with pytest.raises(DivergedError, match=r"epoch 1, batch 1 of 3: .*source weights"):
        run_job(replace(job, starting_point=point), lambda _epoch: None)


def test_features_that_are_not_finite_are_not_given_to_scikit_learn(
    faces: FaceSet, params: Params, recipe: Recipe, tmp_path: Path
) -> None:
    job = make_job(faces, params, recipe, tmp_path, train=HEAD, epochs=1, head={"kind": "svm"})
    point = job.starting_point
    state = {n: t * 1e30 if t.ndim == 4 else t for n, t in point.source.state.items()}
    point = replace(point, source=replace(point.source, state=state))
    with pytest.raises(DivergedError, match=r"^features: not finite, so the source weights"):
        run_job(replace(job, starting_point=point), lambda _epoch: None)


def test_a_head_that_diverges_leaves_the_others_as_they_were(recipe: Recipe, blobs: Blobs) -> None:
    two = [task for task in tasks(recipe) if len(task.head.hidden) == 2][:2]
    absurd = two[1].recipe.model_copy(update={"learning_rate": 1e38})
    seen: set[int] = set()

    def on_epoch(task: int, _epoch: Epoch) -> bool:
        seen.add(task)
        return True

    kept, given_up = try_heads([two[0], replace(two[1], recipe=absurd)], blobs, CLASSES, on_epoch)
    (alone,) = try_heads([two[0]], blobs, CLASSES)
    assert isinstance(given_up, DivergedHead) and "epoch 1, batch 2" in str(given_up.error)
    assert not isinstance(kept, DivergedHead) and not isinstance(alone, DivergedHead)
    assert len(kept.history) == len(alone.history) and seen == {0}
    for name, tensor in alone.state.items():
        torch.testing.assert_close(kept.state[name], tensor)


@pytest.mark.parametrize("train", ["all", "head"])
def test_the_stage_fails_in_one_line_and_leaves_earlier_outputs_alone(
    project: Project, capsys: pytest.CaptureFixture[str], train: str
) -> None:
    params = yaml.safe_load((SHIPPED / PARAMS).read_text())
    absurd = {"train": [train], "batch_size": 4, "epochs": 2, "learning_rate": 1e38}
    params["experiments"], params["data"]["image_size"] = {"ModelA": absurd}, 32
    params["model"] = {"backbone": "mobilenet_v3_small", "stem": "standard"}
    write_json(PARAMS, params)
    fabricate.faces(("ann", "bob", "eve"), train=6).save(paths.FACES)
    random_weights("mobilenet_v3_small", 0).save(paths.SOURCE)
    write_json(paths.train_metrics("ModelA"), {"earlier": 1})
    before = paths.model("ModelA").read_bytes()
    with pytest.raises(SystemExit) as stopped:
        run(main, ["ModelA"])
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert stopped.value.code == 2
    (line,) = lines
    assert re.match(r"error: seed 0, epoch 1, batch \d+ of 5: the loss is (nan|inf)", line)
    assert paths.model("ModelA").read_bytes() == before
    assert json.loads(paths.train_metrics("ModelA").read_text()) == {"earlier": 1}
    assert not paths.run_record("ModelA").exists()
    store = open_store(EXPERIMENT)
    runs = store.client.search_runs([store.experiment_id])
    assert {each.info.status for each in runs} == {"FAILED"}
