"""What is kept in the scratch folder is used for nothing but what it was made for, and can go."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from src.config import Params, Recipe
from src.data.faceset import FaceSet
from src.training.device import Compute
from src.training.engine import features_match, run_job
from src.training.features import Features
from src.training.job import TrainingJob, make_features
from src.training.result import TrainingResult
from tests.disk import full_disk
from tests.shipped import SHIPPED
from tests.training.conftest import CPU32, make_job
from tests.training.loops import REFERENCE

ROOT = Path(__file__).parents[2]
FROZEN = REFERENCE.model_copy(update={"batchnorm": "freeze"})
RUN = """
import sys
from pathlib import Path
import torch
from src.config import Experiment, load_params
from src.data.faceset import FaceSet
from src.models.weights import random_weights
from src.training.device import resolve
from src.training.engine import run_job
from src.training.job import StartingPoint, TrainingJob

params = load_params(Path("params.yaml"))
experiment = Experiment(train=("head",), batch_size=8, epochs=1, recipe="reference")
starting_point = StartingPoint(FaceSet.load(Path("faces")), random_weights("resnet18", 1), "f", "s")
job = TrainingJob.of(
    "one", params, starting_point, Path(".cache"),
    experiment=experiment, compute=resolve("cpu", "float32"),
)
print(run_job(job, lambda _epoch: None).history[0].train_loss)
"""


@pytest.fixture
def job(faces: FaceSet, params: Params, tmp_path: Path) -> TrainingJob:
    """A head on an adapting backbone."""
    settings = {"train": ("head",), "epochs": 2}
    return make_job(faces, params, REFERENCE, tmp_path / "scratch", **settings)


def changed(
    job: TrainingJob, recipe: Recipe | None = None, seed: int = 0, **experiment: object
) -> TrainingJob:
    return replace(
        job,
        recipe=recipe or job.recipe,
        experiment=job.experiment.model_copy(update=experiment),
        seed=seed,
    )


def trained(job: TrainingJob, features: Features | None = None) -> TrainingResult:
    return run_job(job, lambda _epoch: None, features)


def same(one: TrainingResult, other: TrainingResult) -> bool:
    return all(torch.equal(one.state[name], other.state[name]) for name in one.state)


def test_features_made_by_other_code_are_not_used(faces: FaceSet, tmp_path: Path) -> None:
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=ignored)
    shutil.copy(SHIPPED / "params.yaml", tmp_path)
    faces.save(tmp_path / "faces")

    def loss() -> str:
        command = [sys.executable, "-c", RUN]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        return done.stdout

    before = loss()
    assert loss() == before
    code = tmp_path / "src/training/adapting.py"
    drawn = "inputs.batch(part, view)"
    assert drawn in code.read_text()
    code.write_text(code.read_text().replace(drawn, f"{drawn} * 0"))
    warm = loss()
    shutil.rmtree(tmp_path / ".cache")
    assert warm == loss() != before


@pytest.mark.parametrize("recipe", [FROZEN, REFERENCE], ids=["freeze", "adapt"])
def test_a_random_backbone_is_that_of_the_seed(job: TrainingJob, recipe: Recipe) -> None:
    first = changed(job, recipe, start="scratch")
    second = changed(job, recipe, seed=1, start="scratch")
    trained(first)
    warm = trained(second)
    assert same(warm, trained(replace(second, scratch=job.scratch / "cold")))
    if recipe is FROZEN:
        assert same(warm, trained(second, make_features(first)))


def test_features_in_another_precision_are_not_used(job: TrainingJob) -> None:
    job = changed(job, FROZEN)
    rounded = make_features(replace(job, compute=Compute(CPU32.device, torch.bfloat16)))
    assert same(trained(job, rounded), trained(job))


def test_validation_images_are_flipped_only_where_answers_come_from_both_views(
    job: TrainingJob,
) -> None:
    flips = FROZEN.model_copy(update={"flip": True})
    once, both = (
        changed(job, flips.model_copy(update={"flip_test": each})) for each in (False, True)
    )
    less, more = make_features(once), make_features(both)
    assert [len(each.values) for each in less.blocks.values()] == [2] * len(less.blocks)
    assert [len(each.val_values) for each in less.blocks.values()] == [1] * len(less.blocks)
    assert not features_match(less, both) and features_match(more, once)
    assert same(trained(once, more), trained(once, less))
    assert same(trained(both, less), trained(both, more))


def test_features_made_on_another_machine_or_by_other_code_are_not_used(job: TrainingJob) -> None:
    job = changed(job, FROZEN)
    made = make_features(job)
    assert features_match(made, job)
    assert not features_match(replace(made, key="another"), job)
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        assert not features_match(made, job)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("recipe", [FROZEN, REFERENCE], ids=["freeze", "adapt"])
@pytest.mark.parametrize("damage", [b"", b"junk" * 99, "half", "foreign"])
def test_a_damaged_file_is_made_anew(job: TrainingJob, recipe: Recipe, damage: bytes | str) -> None:
    job = changed(job, recipe)
    whole = trained(job)
    (path,) = job.scratch.iterdir()
    good = path.read_bytes()
    if damage == "foreign":
        from safetensors.torch import save_file

        facts = {"features": '{"subjects": [], "blocks": [], "made": []}'}
        save_file({"values": torch.ones(1, 2), "labels": torch.ones(1)}, path, facts)
    else:
        path.write_bytes(damage if isinstance(damage, bytes) else good[: len(good) // 2])
    assert same(trained(job), whole)
    assert path.read_bytes() == good


@pytest.mark.parametrize("recipe", [FROZEN, REFERENCE], ids=["freeze", "adapt"])
def test_a_full_disk_is_told_and_stops_nothing(
    job: TrainingJob, recipe: Recipe, capsys: pytest.CaptureFixture[str]
) -> None:
    job = changed(job, recipe)
    with full_disk():
        fitted = trained(job)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: ") and str(job.scratch) in line
    assert not list(job.scratch.iterdir())
    assert same(fitted, trained(job))
