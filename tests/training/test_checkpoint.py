"""A checkpoint is taken up by the very run that wrote it, whole, and by nothing else."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from src.config import Params
from src.data.faceset import FaceSet
from src.training.checkpoint import Checkpoint
from src.training.device import Compute
from src.training.engine import run_job
from src.training.job import TrainingJob
from src.training.networks import checkpoint_of
from src.training.result import Epoch
from tests.disk import full_disk
from tests.training.conftest import CPU32, make_job

EPOCH = Epoch(1, 0.5, 0.5, 0.5, 0.5, 0.1, 1.0, 2.0)


@pytest.fixture
def job(faces: FaceSet, params: Params, tmp_path: Path) -> TrainingJob:
    settings = {"train": ("head", "conv5_x"), "epochs": 1}
    return make_job(faces, params, params.recipes["tuned"], tmp_path, **settings)


def saved(path: Path) -> Checkpoint:
    point = Checkpoint(path, "key", saved=-1e9)
    point.save({"x": torch.arange(100.0)}, (EPOCH,))
    return point


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("written") / "point"
    saved(path)
    return path.read_bytes()


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    found = saved(tmp_path / "point").load()
    assert found is not None
    assert torch.equal(found[0]["x"], torch.arange(100.0))
    assert found[1] == (EPOCH,)


def test_a_flipped_bit_or_a_lost_end_is_noticed(written: bytes, tmp_path: Path) -> None:
    path = tmp_path / "point"
    for place in range(0, len(written), 7):
        flipped = bytes([written[place] ^ 1 << place % 8])
        for damaged in (written[:place] + flipped + written[place + 1 :], written[:place]):
            path.write_bytes(damaged)
            assert Checkpoint(path, "key").load() is None, place


@pytest.mark.parametrize(
    "content",
    [
        b"junk",
        {"key": "key", "state": {}, "history": [{"number": "one"}]},
        {"key": "key", "state": {}, "history": 7},
        ["key"],
    ],
    ids=repr,
)
def test_a_foreign_file_is_no_checkpoint(tmp_path: Path, content: object) -> None:
    path = tmp_path / "point"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    assert Checkpoint(path, "key").load() is None


def sealed(point: Checkpoint, content: object) -> bytes:
    """A file that the right key has sealed, whatever is in it."""
    buffer = io.BytesIO()
    if isinstance(content, bytes):
        buffer.write(content)
    else:
        torch.save(content, buffer)
    return point._seal(buffer.getbuffer()) + buffer.getvalue()


DAMAGED: tuple[object, ...] = (
    b"",
    b"junk",
    {},
    [],
    7,
    {"state": {}, "history": []},
    {"state": None, "history": []},
    {"state": {}, "history": [{"number": 1}]},
    {"state": {"network": {}, "optimizer": {}, "best": {}}, "history": []},
    {
        "state": {"network": {"conv1.weight": torch.ones(1)}, "optimizer": {}, "best": 1},
        "history": [],
    },
)


@pytest.mark.parametrize("content", [b"junk", None, *range(len(DAMAGED))])
def test_a_run_starts_anew_beside_a_damaged_checkpoint(
    job: TrainingJob, content: bytes | int | None, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = run_job(job, lambda _epoch: None)
    assert not capsys.readouterr().err
    job.scratch.mkdir(exist_ok=True)
    path = job.scratch / "one-seed0.checkpoint"
    if content is None:
        path.mkdir()
    elif isinstance(content, int):
        path.write_bytes(sealed(checkpoint_of(job, (4,), (4,)), DAMAGED[content]))
    else:
        path.write_bytes(content)
    again = run_job(job, lambda _epoch: None)
    first, *more = capsys.readouterr().err.splitlines()
    assert first.startswith(f"warning: {path} is damaged, or of other settings")
    assert len(more) == (content is None) and path.exists() == (content is None)
    assert all(torch.equal(again.state[name], whole.state[name]) for name in whole.state)


def test_a_full_disk_is_told_and_stops_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with full_disk(16):
        saved(tmp_path / "point")
    assert "warning: " in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_key_covers_all_that_the_run_is_a_function_of(
    job: TrainingJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    starting_point, experiment, recipe = job.starting_point, job.experiment, job.recipe
    uncached = job.params.engine.model_copy(update={"cache_prefix": False})
    others = [
        replace(job, starting_point=replace(starting_point, faces_digest="other")),
        replace(job, starting_point=replace(starting_point, source_digest="other")),
        replace(job, experiment=experiment.model_copy(update={"start": "scratch"})),
        replace(job, experiment=experiment.model_copy(update={"batch_size": 4})),
        replace(job, experiment=experiment.model_copy(update={"epochs": 2})),
        replace(job, recipe=recipe.model_copy(update={"batchnorm": "recalibrate"})),
        replace(job, recipe=recipe.model_copy(update={"learning_rate": 0.5})),
        replace(job, seed=1),
        replace(job, params=job.params.model_copy(update={"engine": uncached})),
        replace(job, compute=Compute(CPU32.device, torch.bfloat16)),
    ]
    keys = [checkpoint_of(each, (4,), (4,)).key for each in (job, *others)]
    keys += [checkpoint_of(job, (), ()).key, checkpoint_of(job, (4,), ()).key]
    monkeypatch.setattr(torch, "__version__", "9.9")
    keys.append(checkpoint_of(job, (4,), (4,)).key)
    monkeypatch.setattr("src.training.job.code_digest", lambda module: f"other {module}")
    keys.append(checkpoint_of(job, (4,), (4,)).key)
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("cached", [True, False])
def test_a_checkpoint_knows_where_the_cached_prefix_ended(
    job: TrainingJob, cached: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def spy(of: TrainingJob, *starts: tuple[int, ...]) -> Checkpoint:
        asked.append(starts)
        return checkpoint_of(of, *starts)

    monkeypatch.setattr("src.training.networks.checkpoint_of", spy)
    engine = job.params.engine.model_copy(update={"cache_prefix": cached})
    job = replace(job, params=job.params.model_copy(update={"engine": engine}))
    run_job(job, lambda _epoch: None)
    assert asked == [((4,), (4,)) if cached else ((), ())]
