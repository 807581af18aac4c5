"""Two clones share data through S3 and runs through a server, and agree on what is there.

A runs the pipeline and pushes; B has the keys of DVC's bucket, but none for MLflow's, whose files
come through the server.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from PIL import Image

from tests.pipeline.repository import SMALL, Repository
from tests.services.stack import ARTIFACTS, REMOTE, Services, client, missing, services

LOCAL = ".dvc/config.local"  # where DVC's keys are, which git does not keep
NAMES = ("Baseline", "Last")
FINISHED = {(name, "FINISHED"): 1 for name in NAMES}


@dataclass(frozen=True)
class Clones:
    """A, which has run the pipeline, and B, which has pulled."""

    a: Repository
    b: Repository


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    if absent := missing():
        pytest.skip(f"needs {absent}: `make setup-remote` installs it")
    with services(tmp_path_factory.mktemp("services")) as running:
        yield running


@pytest.fixture(scope="module")
def clones(shared: Services, tmp_path_factory: pytest.TempPathFactory) -> Clones:
    settings = SMALL | {"seeds": 1}
    a = connected(Repository.with_pipeline(tmp_path_factory.mktemp("a"), settings), shared)
    for command in shared.commands:
        a.run(*command)
    for key in ("access_key_id", "secret_access_key"):
        a.run("dvc", "remote", "modify", "--local", REMOTE, key, shared.remote[key])
    a.run("dvc", "repro")
    a.commit("A small pipeline and its results")
    a.run("dvc", "push", "--run-cache")

    b = connected(a.clone(tmp_path_factory.mktemp("b") / "clone"), shared)
    shutil.copy(a.folder / LOCAL, b.folder / LOCAL)
    b.run("dvc", "pull", "--run-cache")
    return Clones(a, b)


def connected(clone: Repository, shared: Services) -> Repository:
    """The clone with the server for its store and without any key for S3 in its environment."""
    nothing = clone.folder.parent / "aws"
    nothing.touch()
    for key in [key for key in clone.environment if key.startswith("AWS_")]:
        del clone.environment[key]
    clone.environment |= {
        "MLFLOW_TRACKING_URI": shared.environment["MLFLOW_TRACKING_URI"],
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_SHARED_CREDENTIALS_FILE": str(nothing),
        "AWS_CONFIG_FILE": str(nothing),
    }
    return clone


def runs(shared: Services, experiment: str) -> list[Run]:
    """Every run of the only experiment of that name, whatever its status."""
    client = MlflowClient(shared.environment["MLFLOW_TRACKING_URI"])
    found = [each for each in client.search_experiments() if each.name == experiment]
    assert len(found) == 1
    return list(client.search_runs([found[0].experiment_id]))


def counted(found: list[Run]) -> Counter[tuple[str, str]]:
    return Counter((run.info.run_name, run.info.status) for run in found)


def test_the_second_clone_has_all_and_runs_no_stage(clones: Clones) -> None:
    assert clones.b.stages_run("repro") == set()
    assert clones.b.run("git", "status", "--porcelain") == ""


def test_the_second_clone_finds_the_runs_of_the_first(clones: Clones, shared: Services) -> None:
    said = clones.b.run("python", "-m", "src.tracking", "reconcile")
    for name in NAMES:
        record = json.loads((clones.a.folder / f"runs/{name}.json").read_bytes())
        assert f"runs/{name}.json: present as run {record['run_id']}" in said
    found = runs(shared, "face-finetune")
    assert counted(found) == FINISHED
    assert all(run.info.artifact_uri.startswith("mlflow-artifacts:") for run in found)


def test_both_predict_the_same_with_the_champion(clones: Clones, tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    pixels = np.random.default_rng(0).integers(256, size=(32, 32, 3), dtype="u1")
    Image.fromarray(pixels).save(photo)
    predict = ("python", "-m", "src.predict", "--json", str(photo))
    answers = [clone.run(*predict) for clone in (clones.a, clones.b)]
    assert answers[0] == answers[1]
    assert "probability" in answers[0]


def test_both_train_at_once_and_each_run_is_there_once(clones: Clones, shared: Services) -> None:
    started = [
        subprocess.Popen(
            ("dvc", "exp", "run", "-S", "tracking.experiment=both", f"train@{name}"),
            cwd=clone.folder,
            env=clone.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for clone, name in zip((clones.a, clones.b), NAMES, strict=True)
    ]
    said = [process.communicate()[0] for process in started]
    assert [process.returncode for process in started] == [0, 0], said
    assert counted(runs(shared, "both")) == FINISHED
    assert counted(runs(shared, "face-finetune")) == FINISHED


def test_no_credential_is_in_any_clone_log_run_or_artifact(
    clones: Clones, shared: Services
) -> None:
    secrets = [secret.encode() for secret in shared.secrets]
    own = {clones.a.folder / LOCAL, clones.b.folder / LOCAL, shared.mlflow.folder / "pgpass"}
    folders = (clones.a.folder, clones.b.folder, shared.mlflow.folder)
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    texts = {str(path): path.read_bytes() for path in files if path not in own}
    for experiment in ("face-finetune", "both"):
        texts |= {run.info.run_id: repr(run).encode() for run in runs(shared, experiment)}
    names = ("endpointurl", "access_key_id", "secret_access_key")
    s3 = client(*(shared.remote[name] for name in names))
    objects = [each["Key"] for each in s3.list_objects_v2(Bucket=ARTIFACTS)["Contents"]]
    assert len(objects) > 20
    texts |= {name: s3.get_object(Bucket=ARTIFACTS, Key=name)["Body"].read() for name in objects}
    assert [name for name, text in texts.items() if any(each in text for each in secrets)] == []
