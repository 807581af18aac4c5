"""Training again gives the recorded bytes, or the answer says why that was not to be expected."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from pipelines import train
from src import paths
from src.config import PARAMS, load_params
from src.errors import ConfigError, StaleInputError, TrackingError
from src.files import digest, write_json
from src.models.network import load_state, save_network
from src.models.weights import random_weights
from src.tracking.record import RunRecord
from src.verify import main
from tests import fabricate
from tests.tracking.projects import PARAMS_FILE

HEAD, BLOCK = "Baseline", "ModelA"


@pytest.fixture(scope="module")
def original(blueprint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two experiments as the train stage leaves them: a head on features, and a block."""
    root = tmp_path_factory.mktemp("verify") / "project"
    shutil.copytree(blueprint, root)
    params = yaml.safe_load(PARAMS_FILE.read_text())
    params["data"]["image_size"], params["seeds"] = 32, 1
    params["experiments"] = {
        HEAD: {"train": ["head"], "batch_size": 4, "epochs": 3},
        BLOCK: {"train": ["head", "conv5_x"], "batch_size": 4, "epochs": 1},
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        write_json(PARAMS, params)
        fabricate.faces(("ann", "bob", "eve"), train=4, test=1).save(paths.FACES)
        random_weights("resnet18", 0).save(paths.SOURCE)
        for name in (HEAD, BLOCK):
            train.run(name, load_params())
    return root


@pytest.fixture
def project(original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it without the store, entered."""
    root = tmp_path / "project"
    shutil.copytree(original, root, ignore=shutil.ignore_patterns("mlruns"))
    monkeypatch.chdir(root)
    return root


def verdicts(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, list[dict[str, object]]]:
    capsys.readouterr()
    code = main([*argv, "--json"])
    return code, json.loads(capsys.readouterr().out)


def edit(name: str, **changes: object) -> None:
    """Change a record."""
    path = paths.run_record(name)
    RunRecord.read(path).model_copy(update=changes).write(path)


def other_network() -> None:
    """Another network in the place of the first experiment's, and in its record."""
    state, spec = load_state(paths.model(HEAD))
    bias = next(name for name in state if name.endswith("bias"))
    save_network(paths.model(HEAD), {**state, bias: state[bias] + 1e-6}, spec)
    record = RunRecord.read(paths.run_record(HEAD))
    edit(HEAD, model=record.model.model_copy(update={"md5": digest(paths.model(HEAD))}))


def other_machine() -> None:
    tags = RunRecord.read(paths.run_record(HEAD)).tags
    edit(HEAD, tags=tags | {"fingerprint.processor": "Abacus"})


def test_the_same_inputs_give_the_same_bytes_and_nothing_is_touched_or_taken_from_a_cache(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = [path for path in paths.SCRATCH.iterdir() if path.is_file()]
    assert kept  # the features of the first
    for path in kept:
        path.write_bytes(b"stale")
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    assert main([]) == 0
    assert capsys.readouterr().out == f"{HEAD}: identical\n{BLOCK}: identical\n"
    assert {path: path.read_bytes() for path in project.rglob("*") if path.is_file()} == before


def test_other_bytes_on_the_same_machine_are_different(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other_network()
    code, (answer,) = verdicts(capsys, HEAD)
    assert (code, answer["answer"]) == (1, "different")
    assert answer["why"][0] == "other bytes with the same fingerprint"


def test_other_bytes_on_another_machine_are_equal_within_the_tolerance(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other_network()
    other_machine()
    code, (answer,) = verdicts(capsys, HEAD)
    assert (code, answer["answer"]) == (0, "within tolerance")
    assert "processor Abacus against" in answer["why"][1]
    accuracy = RunRecord.read(paths.run_record(HEAD)).finals["best_val/accuracy"]
    edit(HEAD, finals={"best_val/accuracy": accuracy + 0.11})
    code, (answer,) = verdicts(capsys, HEAD)
    assert (code, answer["answer"]) == (1, "different")
    code, (answer,) = verdicts(capsys, HEAD, "--tolerance", "12")
    assert (code, answer["answer"]) == (0, "within tolerance")


def change_dataset() -> None:
    fabricate.faces(("ann", "bob", "eve"), train=5, test=1).save(paths.FACES)


def change_source() -> None:
    random_weights("resnet18", 1).save(paths.SOURCE)


def change_params() -> None:
    write_json(PARAMS, yaml.safe_load(PARAMS.read_text()) | {"seed": 7})


def change_code() -> None:
    tags = RunRecord.read(paths.run_record(HEAD)).tags
    edit(HEAD, tags=tags | {"code.digest": "0", "git.commit": "0123456789abcdef"})


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (change_dataset, "the dataset is a different version"),
        (change_source, "the source weights differ"),
        (change_params, "seed was 0 and is 7"),
        (change_code, "the code that trains is not that of 0123456789ab"),
        (lambda: paths.model(HEAD).write_bytes(b"x"), f"models/{HEAD}.safetensors is missing or"),
        (lambda: paths.model(HEAD).unlink(), f"models/{HEAD}.safetensors is missing or is not the"),
    ],
)
def test_what_was_made_from_something_else_is_not_comparable_and_it_says_what(
    project: Path, capsys: pytest.CaptureFixture[str], change: Callable[[], None], why: str
) -> None:
    change()
    assert main([HEAD]) == 0
    assert capsys.readouterr().out.startswith(f"{HEAD}: not comparable, because {why}")


def test_bad_input_is_one_line(project: Path) -> None:
    with pytest.raises(ConfigError, match="experiments has no 'Other'"):
        main(["Other"])
    with pytest.raises(ConfigError, match="--tolerance: is below 0"):
        main(["--tolerance", "-1"])
    paths.run_record(HEAD).write_text("{}")
    with pytest.raises(TrackingError, match="not a record of a run"):
        main([HEAD])
    paths.run_record(HEAD).unlink()
    with pytest.raises(StaleInputError, match=r"runs/Baseline\.json: no such file"):
        main([])
