"""PostgreSQL, an S3 server, and an MLflow server with both behind it, on the loopback interface.

Roles and credentials are as docs/scale.md wants them, each drawn anew: MLflow's server logs in to a
database and a bucket that its clients have no credentials for. What this cannot show is what an S3
server refuses: moto takes any key, and keeps objects in memory, which go when it ends.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tests.tracking.servers import QUIET, START, Server, free_port, free_ports
from tests.tune import postgres

HOST = "127.0.0.1"
REMOTE = "shared"  # DVC's name for the bucket of data
DATA, ARTIFACTS = "face-finetune-data", "face-finetune-mlflow"  # the buckets
ROLES = ("mlflow", "optuna")  # each with a database of its own name
NEEDED = ("boto3", "dvc_s3", "moto")  # modules that `make setup-remote` installs


@dataclass(frozen=True)
class Services:
    """Running servers; `environment` is what a user exports, and `remote` DVC's settings."""

    mlflow: Server
    s3: str
    environment: Mapping[str, str]
    remote: Mapping[str, str]
    secrets: tuple[str, ...]  # all that must be seen nowhere, those of the server's own included

    @property
    def exported(self) -> str:
        """`environment` as a shell reads it."""
        return "".join(f"export {key}='{value}'\n" for key, value in self.environment.items())

    @property
    def commands(self) -> tuple[tuple[str, ...], ...]:
        """What makes the bucket the default remote of a clone, without its keys."""
        modify = ("dvc", "remote", "modify", "--local", REMOTE)
        add = ("dvc", "remote", "add", "--local", "--force", "--default", REMOTE, f"s3://{DATA}")
        return (add, (*modify, "endpointurl", self.s3))


def missing() -> str:
    """The modules that are not installed; "" if all are."""
    return ", ".join(name for name in NEEDED if find_spec(name) is None)


@contextmanager
def services(folder: Path) -> Iterator[Services]:
    """All of them, as long as the block lasts; `folder` gets logs and MLflow's own password."""
    passwords = {role: secrets.token_hex(16) for role in ROLES}
    keys = {bucket: (secrets.token_hex(10), secrets.token_hex(20)) for bucket in (DATA, ARTIFACTS)}
    database, port = free_ports(2)
    with postgres.server(database) as superuser, s3_server(folder, port) as s3:
        _make_databases(superuser, passwords)
        for bucket in (DATA, ARTIFACTS):
            client(s3, *keys[ARTIFACTS]).create_bucket(Bucket=bucket)
        url = f"postgresql://mlflow@{HOST}:{database}/mlflow"  # whose password is not in it
        login = folder / "pgpass"
        login.touch(0o600)
        login.write_text(f"{HOST}:{database}:mlflow:mlflow:{passwords['mlflow']}\n")
        settings = {
            "PGPASSFILE": str(login),
            "MLFLOW_BACKEND_STORE_URI": url,
            "MLFLOW_ARTIFACTS_DESTINATION": f"s3://{ARTIFACTS}",
            "MLFLOW_S3_ENDPOINT_URL": s3,
            **aws(*keys[ARTIFACTS]),
        }
        migrate(url, settings)
        mlflow = Server(folder, free_port(), settings)
        mlflow.start()
        storage = f"postgresql://optuna:{passwords['optuna']}@{HOST}:{database}/optuna"
        environment = {
            "MLFLOW_TRACKING_URI": f"http://{mlflow.address}",
            "OPTUNA_STORAGE": storage,
            "AWS_ENDPOINT_URL": s3,
            **aws(*keys[DATA]),
        }
        key, secret = keys[DATA]
        remote = {"endpointurl": s3, "access_key_id": key, "secret_access_key": secret}
        hidden = (*passwords.values(), *(secret for _, secret in keys.values()))
        try:
            yield Services(mlflow, s3, environment, remote, hidden)
        finally:
            mlflow.kill()


def aws(key: str, secret: str) -> dict[str, str]:
    """The keys as boto3 reads them from the environment."""
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION")
    return dict(zip(names, (key, secret, "us-east-1"), strict=True))


@contextmanager
def s3_server(folder: Path, port: int) -> Iterator[str]:
    """moto's server; its URL."""
    command = [sys.executable, "-m", "moto.server", "-H", HOST, "-p", str(port)]
    with (folder / "s3.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        deadline, url = time.monotonic() + START, f"http://{HOST}:{port}"
        while not _answers(f"{url}/moto-api/"):
            if process.poll() is not None or time.monotonic() > deadline:
                raise TimeoutError((folder / "s3.log").read_text())
            time.sleep(0.2)
        yield url
    finally:
        process.kill()
        process.wait()


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=5).close()  # noqa: S310 -- our own
    except OSError:
        return False
    return True


def _make_databases(superuser: str, passwords: Mapping[str, str]) -> None:
    """A database for each role, which no other role may enter."""
    import psycopg
    from psycopg import sql

    with psycopg.connect(superuser, autocommit=True) as connection:
        for role, password in passwords.items():
            name = sql.Identifier(role)
            for command, values in (
                ("CREATE ROLE {} LOGIN PASSWORD {}", (name, sql.Literal(password))),
                ("CREATE DATABASE {} OWNER {}", (name, name)),
                ("REVOKE ALL ON DATABASE {} FROM PUBLIC", (name,)),
            ):
                connection.execute(sql.SQL(command).format(*values))


def client(url: str, key: str, secret: str) -> Any:
    """boto3's client of the S3 server."""
    import boto3  # not everyone has it

    return boto3.client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id=key,
        aws_secret_access_key=secret,
    )


def migrate(url: str, settings: Mapping[str, str]) -> None:
    """Make MLflow's tables before its server, whose workers would make them at once."""
    command = [sys.executable, "-m", "mlflow", "db", "upgrade", url]
    environment = {**os.environ, **QUIET, **settings}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"mlflow db upgrade failed: {done.stderr[-2000:]}")
