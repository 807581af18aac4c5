"""`make up` serves this machine alone, keeps what it drew to its owner, and `make down` ends it.

Also where the process that holds the servers was killed.
"""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import psycopg
import pytest

from src.closure import ROOT
from tests.services.stack import missing

HERE = Path(".cache/services")


def services(folder: Path, command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.services", command],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def listening(ports: set[int]) -> dict[int, str]:
    """On which address each port is served."""
    found = [each.laddr for each in psutil.net_connections("inet") if each.status == "LISTEN"]
    return {address.port: address.ip for address in found if address.port in ports}


def test_up_serves_this_machine_alone_and_down_leaves_nothing(tmp_path: Path) -> None:
    if absent := missing():
        pytest.skip(f"needs {absent}: `make setup-remote` installs it")
    try:
        begun = services(tmp_path, "up")
        assert begun.returncode == 0, begun.stderr
        file = tmp_path / HERE / "environment"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        given = dict(re.findall(r"export (\w+)='(.*)'", file.read_text()))
        mlflow, storage, s3 = (
            urlsplit(given[name])
            for name in ("MLFLOW_TRACKING_URI", "OPTUNA_STORAGE", "AWS_ENDPOINT_URL")
        )
        for secret in (storage.password, given["AWS_SECRET_ACCESS_KEY"]):
            assert secret and secret not in begun.stdout + begun.stderr
        ports = {int(str(each.port)) for each in (mlflow, storage, s3)}
        assert listening(ports) == dict.fromkeys(ports, "127.0.0.1")
        urllib.request.urlopen(f"http://127.0.0.1:{mlflow.port}/health", timeout=60).close()

        with psycopg.connect(storage.geturl()) as connection:
            connection.execute("CREATE TABLE mine ()")
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            psycopg.connect(storage._replace(path="/mlflow").geturl())

        again = services(tmp_path, "up")
        assert (again.returncode, again.stderr.count("\n")) == (2, 1)
        assert "first run `make down`" in again.stderr
    finally:
        ended = services(tmp_path, "down")
    assert (ended.returncode, ended.stdout + ended.stderr) == (0, "")
    assert listening(ports) == {}
    assert not (tmp_path / HERE).exists()


def test_what_a_killed_one_leaves_is_stopped_by_the_next_up_and_by_down(tmp_path: Path) -> None:
    if absent := missing():
        pytest.skip(f"needs {absent}: `make setup-remote` installs it")

    def killed() -> set[int]:
        """The ports of the servers whose holder has been killed."""
        begun = services(tmp_path, "up")
        assert begun.returncode == 0, begun.stderr
        number = (tmp_path / HERE / "process").read_text().partition("@")[0]
        given = (tmp_path / HERE / "environment").read_text()
        psutil.Process(int(number)).kill()
        return {int(port) for port in re.findall(r":(\d+)\b", given)}

    try:
        first = killed()
        assert len(first) == 3 and listening(first).keys() == first
        folders = [Path((tmp_path / HERE / "temporary").read_text())]
        second = killed()
        assert listening(first) == {} and listening(second).keys() == second
        folders.append(Path((tmp_path / HERE / "temporary").read_text()))
    finally:
        ended = services(tmp_path, "down")
    assert (ended.returncode, ended.stdout + ended.stderr) == (0, "")
    assert listening(second) == {}
    assert not [folder for folder in (*folders, tmp_path / HERE) if folder.exists()]
