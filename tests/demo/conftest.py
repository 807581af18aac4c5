"""A server for the tests of every theme, started once."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.demo.served import CORRECTIONS, Served, prepare, start


@pytest.fixture(scope="package")
def served(blueprint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    root = tmp_path_factory.mktemp("demo") / "project"
    scratch = tmp_path_factory.mktemp("scratch")
    shutil.copytree(blueprint, root)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        photos = prepare(root)
    process, port = start(root, scratch)
    try:
        yield Served(root, port, scratch, photos)
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def undecided(served: Served) -> Served:
    """No decisions yet."""
    (served.root / CORRECTIONS).unlink(missing_ok=True)
    return served
