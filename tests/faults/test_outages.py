"""What is behind MLflow's server fails for a while: its database, its S3 store, its disk."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from src.tracking.record import RunRecord
from tests.faults.proxy import Proxy, proxied
from tests.faults.training import (
    Training,
    assert_completed_once,
    assert_loss_is_one_line,
    command,
)
from tests.services import stack
from tests.tracking.projects import Project
from tests.tracking.servers import Server, free_port, new_server
from tests.tune import postgres

BUCKET, KEY, SECRET = "outages", "key", "secret"
SIZE = 8 * 2**20  # bytes of a file for DVC
LARGE = SIZE // 4  # bytes after which a transfer is cut


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy | None]:
    """A proxy before an S3 server with a bucket; None without the packages for it."""
    if stack.missing():
        yield None
        return
    port = free_port()
    with stack.s3_server(tmp_path_factory.mktemp("s3"), port) as url, proxied(port) as proxy:
        stack.client(url, KEY, SECRET).create_bucket(Bucket=BUCKET)
        yield proxy


def needed(s3: Proxy | None) -> Proxy:
    if s3 is None:
        pytest.skip(f"needs {stack.missing()}: `make setup-remote` installs it")
    return s3


@dataclass(frozen=True)
class Behind:
    """A server, its database and its S3 store, if there is one."""

    mlflow: Server
    database: str


@pytest.fixture(scope="module")
def behind(s3: Proxy | None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    with postgres.server(free_port()) as url:
        stack.migrate(url, {})
        settings = {"MLFLOW_BACKEND_STORE_URI": url}
        if s3:
            settings |= {
                "MLFLOW_ARTIFACTS_DESTINATION": f"s3://{BUCKET}",
                "MLFLOW_S3_ENDPOINT_URL": f"http://127.0.0.1:{s3.port}",
                **stack.aws(KEY, SECRET),
            }
        mlflow = Server(tmp_path_factory.mktemp("server"), free_port(), settings)
        mlflow.start()
        try:
            yield Behind(mlflow, url)
        finally:
            mlflow.kill()


def test_a_training_outlives_a_restart_of_postgresql_behind_its_server(
    project: Project, behind: Behind, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = Training(project, behind.mlflow)
    with postgres.stopped(behind.database):
        pass
    training.log_epochs(20)
    err = training.end()
    if not RunRecord.read(project.record).sent:  # the restart took longer than calls are repeated
        assert_loss_is_one_line(err)
    assert_completed_once(project, behind.mlflow, monkeypatch)


def test_a_training_outlives_postgresql_that_stays_away(
    project: Project, behind: Behind, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = Training(project, behind.mlflow)
    with postgres.stopped(behind.database):
        assert_loss_is_one_line(training.end())
        lost = command(project, behind.mlflow, "src.tracking", "reconcile")
    assert (lost.returncode, lost.stderr.count("\n")) == (2, 1), lost.stderr
    assert_completed_once(project, behind.mlflow, monkeypatch)


def test_a_training_outlives_an_s3_store_that_refuses(
    project: Project, behind: Behind, s3: Proxy | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = Training(project, behind.mlflow)
    with needed(s3).away():
        assert_loss_is_one_line(training.end())
        lost = command(project, behind.mlflow, "src.tracking", "reconcile")
    assert (lost.returncode, lost.stderr.count("\n")) == (2, 1), lost.stderr
    assert_completed_once(project, behind.mlflow, monkeypatch)


def test_a_training_outlives_a_full_disk_of_its_server(
    project: Project, blueprint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = new_server(tmp_path / "server", blueprint / "mlruns" / "mlflow.db")
    (files := server.folder / "files").mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(files)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"needs to mount a small disk: {mounted.stderr.strip()}")
    try:
        server.start()
        assert_loss_is_one_line(Training(project, server).end())
        lost = command(project, server, "src.tracking", "reconcile")
        assert (lost.returncode, lost.stderr.count("\n")) == (2, 1), lost.stderr
        subprocess.run(["mount", "-o", "remount,size=100m", str(files)], check=True)
        assert_completed_once(project, server, monkeypatch)
    finally:
        server.kill()
        subprocess.run(["umount", str(files)], check=True)


def test_dvc_pushes_and_pulls_all_once_its_s3_store_is_back(
    s3: Proxy | None, tmp_path: Path
) -> None:
    endpoint = f"http://127.0.0.1:{needed(s3).port}"
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc" / "config").write_text(
        f"[core]\nno_scm = true\nremote = shared\nanalytics = false\n"
        f"['remote \"shared\"']\nurl = s3://{BUCKET}/data\nendpointurl = {endpoint}\n"
        f"access_key_id = {KEY}\nsecret_access_key = {SECRET}\n"
    )
    file, content = tmp_path / "file", os.urandom(SIZE)
    file.write_bytes(content)

    def dvc(*argv: str) -> bool:
        done = subprocess.run(
            ["dvc", *argv], cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False
        )
        assert "Traceback" not in done.stderr
        return done.returncode == 0

    assert dvc("add", "file")
    with s3.away(after=LARGE):
        assert not dvc("push")
    assert dvc("push")
    file.unlink()
    cached = [path for path in (tmp_path / ".dvc/cache").rglob("*") if path.is_file()]
    for path in cached:
        path.unlink()
    with s3.away(after=LARGE):
        assert not dvc("pull")
    assert not file.exists()
    assert dvc("pull")
    assert file.read_bytes() == content
