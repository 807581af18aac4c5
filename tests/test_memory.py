"""A process without memory left ends on one line that says what to lower."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from src import paths
from src.config import PARAMS, Experiment
from src.errors import shortage
from src.files import write_json
from src.models.network import ModelSpec, Network, save_network
from src.models.seeds import save_seed_states
from src.models.weights import random_weights
from tests import fabricate
from tests.data.conftest import encoded, noise, subjects, write_folder
from tests.shipped import SHIPPED

ROOM = 128 * 2**20
# The limit is set once everything is imported, whose size differs between machines.
LIMITED = f"""
import resource, sys
import psutil
import src.data.contact_sheet, src.data.pack, src.tracking.run, src.training.engine
import src.evaluation.inference
from pipelines import dataset, evaluate, train
from src import cli

limit = psutil.Process().memory_info().vms + {ROOM}
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
stages = {{"dataset": dataset, "train": train, "evaluate": evaluate}}
cli.run(stages[sys.argv[1]].main, sys.argv[2:])
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, whose params.yaml has one experiment and the origin `faces`."""
    params = yaml.safe_load((SHIPPED / PARAMS).read_text())
    params["data"] |= {"origin": "faces", "image_size": 128}
    params["experiments"] = {"All": {"train": ["all"], "batch_size": 64, "epochs": 1}}
    params["model"] = {"backbone": "mobilenet_v3_small", "stem": "standard"}
    params["tracking"]["offline"] = True
    monkeypatch.chdir(tmp_path)
    write_json(Path(PARAMS), params)
    return tmp_path


def limited(*arguments: str) -> str:
    """What a stage says that ends with code 2 in little memory."""
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, *arguments],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    return done.stderr


def test_a_training_without_memory_says_what_to_lower_and_writes_nothing(project: Path) -> None:
    fabricate.faces(("ann", "bob"), train=40, size=128).save(paths.FACES)
    random_weights("mobilenet_v3_small", 0).save(paths.SOURCE)
    *_, said = limited("train", "All").splitlines()
    assert said.startswith("error: memory: there is not enough for ")
    assert "lower experiments.NAME.batch_size, engine.cache_limit or engine.cache_frac" in said
    assert not paths.model("All").exists()


def test_an_evaluation_without_memory_says_what_to_lower_and_writes_nothing(project: Path) -> None:
    faces = fabricate.faces(("ann", "bob"), test=70, size=128)
    faces.save(paths.FACES)
    experiment = Experiment(train=("all",), batch_size=64, epochs=1)
    fabricate.write_training(project, "All", experiment, 0.5)
    spec = ModelSpec(
        backbone="mobilenet_v3_small", stem="stride1", image_size=128, subjects=faces.subjects
    )
    state = Network(spec).state_dict()
    save_network(paths.model("All"), state, spec)
    save_seed_states(paths.seed_models("All"), [0], state, [])
    *_, said = limited("evaluate").splitlines()
    assert said.startswith("error: memory: there is not enough for ")
    assert "lower data.image_size or seeds, or end other programs" in said
    assert not paths.TEST_METRICS.exists()


def test_an_image_that_memory_has_no_room_for_is_not_taken_for_broken(project: Path) -> None:
    write_folder(project / "faces", subjects())
    large = np.zeros((7000, 7000, 3), np.uint8)
    large[:40, :40] = noise(1)
    write_folder(project / "faces", {"a/large.png": encoded(large)})
    (said,) = limited("dataset").splitlines()
    assert said.startswith("error: memory: there is not enough")
    assert "lower data.max_pixels or data.image_size" in said
    assert not paths.FACES.exists()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), "there is not enough;"),
        (MemoryError("Unable to allocate 74.5 GiB for an array"), "not enough for 74.5 GiB more;"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB."), "for 2.00 GiB more;"),
        (
            RuntimeError(
                "[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: "
                "you tried to allocate 4194304 bytes. Error code 12 (Cannot allocate memory)"
            ),
            "for 4 MiB more;",
        ),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"), "is not enough;"),
        (RuntimeError("could not create a primitive"), "there is not enough;"),
        (OSError(12, "Cannot allocate memory"), "there is not enough;"),
    ],
)
def test_every_allocators_refusal_is_understood(error: Exception, said: str) -> None:
    assert said in str(shortage(error))


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), OSError(28, "full"), KeyError(1)])
def test_other_errors_are_no_want_of_memory(error: Exception) -> None:
    assert shortage(error) is None
