"""A secret that is given in any of the usual places is in nothing that is written or shown.

One project trains and searches by the real commands, against a real MLflow server and PostgreSQL.
Each place has a secret of its own, so that hiding one cannot hide another.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from src.closure import ROOT
from tests.tracking.servers import Server, new_server
from tests.tune.conftest import command
from tests.tune.postgres import server as postgres_server

pytestmark = [pytest.mark.pipeline, pytest.mark.faults]
URI, LOGIN, TOKEN, KEY, STORAGE, REMOTE = (f"canary-{n}-plum" for n in range(6))
SECRETS = (URI, LOGIN, TOKEN, KEY, STORAGE, REMOTE)
TRAIN = """\
stages:
  train:
    cmd: python -m pipelines.train ModelD-published
    deps: [data/faces.safetensors, models/source.safetensors, data/features.safetensors]
    params: [seed, seeds, data, weights, model, recipe, recipes, experiments, tune, tracking]
    outs: [models/ModelD-published.safetensors, runs/ModelD-published.json]
"""


@dataclass(frozen=True)
class Place:
    """A project, its servers, and the environment that its commands run in."""

    folder: Path
    server: Server
    postgres: Path
    environment: dict[str, str]

    def run(self, *given: str, **environment: str) -> str:
        """What a command shows, once it has succeeded."""
        done = subprocess.run(
            given,
            cwd=self.folder,
            env=self.environment | environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    def leaks(self, shown: str) -> list[str]:
        """Secrets in `shown` or in any file, other than the one that the user wrote them into."""
        given = self.folder / ".dvc/config.local"
        folders = (self.folder, self.server.folder, self.postgres)
        files = {
            str(path): path.read_bytes()
            for folder in folders
            for path in folder.rglob("*")
            if path.is_file() and path != given
        }
        assert str(self.server.folder / "mlflow.db") in files
        files["shown"] = shown.encode()
        return [name for name, data in files.items() if any(s.encode() in data for s in SECRETS)]


@pytest.fixture
def place(here: Path, blueprint: Path, tmp_path: Path) -> Iterator[Place]:
    server = new_server(tmp_path / "server", blueprint / "mlruns" / "mlflow.db")
    with postgres_server() as url:
        given = {
            "PYTHONPATH": str(ROOT),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "MLFLOW_TRACKING_URI": f"http://ann:{URI}@{server.address}",
            "AWS_SECRET_ACCESS_KEY": KEY,
        }
        server.start()
        try:
            yield Place(here, server, Path(url.partition("host=")[2]), os.environ | given)
        finally:
            server.kill()


def test_a_training_under_dvc_writes_no_secret(place: Place) -> None:
    (place.folder / "dvc.yaml").write_text(TRAIN, encoding="utf-8")
    dvc = (sys.executable, "-m", "dvc")
    shown = place.run(*dvc, "init", "--no-scm", "-q")
    shown += place.run(*dvc, "remote", "add", "--local", "-d", "far", "http://127.0.0.1:9/cache")
    for key, value in (("auth", "basic"), ("user", "ann"), ("password", REMOTE)):
        shown += place.run(*dvc, "remote", "modify", "--local", "far", key, value)
    shown += place.run(*dvc, "repro", "-v", MLFLOW_TRACKING_PASSWORD=LOGIN)
    shown += place.run(*dvc, "status", "-v", MLFLOW_TRACKING_TOKEN=TOKEN)
    shown += place.run(sys.executable, "-m", "src.tracking", "reconcile")
    assert REMOTE in (place.folder / ".dvc/config.local").read_text(encoding="utf-8")
    for written in ("dvc.lock", "runs/ModelD-published.json", ".cache"):
        assert (place.folder / written).exists()
    assert "ModelD-published" in (place.server.folder / "mlflow.db").read_bytes().decode("latin-1")
    assert not place.leaks(shown)


def test_a_search_writes_no_secret_and_its_workers_command_lines_have_none(place: Place) -> None:
    # With a password that the database does not ask for, so that nothing else goes wrong.
    url = f"postgresql://tests@/postgres?host={place.postgres}&password={STORAGE}"
    started = subprocess.Popen(
        command("--trials", "2", "--workers", "2", "--storage", url),
        cwd=place.folder,
        env=place.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    workers: dict[int, str] = {}
    deadline = time.monotonic() + 300
    while len(workers) < 2 and time.monotonic() < deadline:
        for child in psutil.Process(started.pid).children(recursive=True):
            line = " ".join(child.cmdline())
            if "--as-worker" in line:
                workers[child.pid] = line
        time.sleep(0.05)
    shown, _ = started.communicate(timeout=300)
    assert started.returncode == 0, shown
    assert len(workers) == 2 and not any(STORAGE in line for line in workers.values())
    assert (place.folder / "tune/best.yaml").is_file()
    assert not place.leaks(shown)


@pytest.mark.parametrize(
    "url",
    [f"postgresql://me:p@{STORAGE}@127.0.0.1:9/s", f"mysql://127.0.0.1:9/s?password={STORAGE}"],
)
def test_a_storage_that_is_refused_is_shown_without_its_password(here: Path, url: str) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OPTUNA_STORAGE": url}
    done = subprocess.run(command(), env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert STORAGE not in done.stdout + done.stderr
    assert not [p for p in here.rglob("*") if p.is_file() and STORAGE.encode() in p.read_bytes()]
