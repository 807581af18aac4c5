"""Mutated images and archives are used, set aside or refused; none costs much or writes anything.

`pytest -m faults --hypothesis-profile thorough tests/data/test_corpus.py` takes twenty times as
many; `python -m tests.corpus 20` prints what comes of them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.corpus.archives import ARCHIVES
from tests.corpus.images import IMAGES
from tests.shipped import ROOT

pytestmark = pytest.mark.faults

MOST = 512  # MiB beyond what a process has that reads sound images


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What came of each family, read by processes of their own in an empty folder."""
    folder: Path = tmp_path_factory.mktemp("elsewhere")
    thorough = settings.get_current_profile_name() == "thorough"
    done = subprocess.run(
        [sys.executable, "-m", "tests.corpus", "20" if thorough else "1", "--json"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=3600 if thorough else 300,
    )
    yield {found["family"]: found for found in map(json.loads, done.stdout.splitlines())}
    assert not list(folder.iterdir())


@pytest.mark.parametrize("family", [*IMAGES, *ARCHIVES])
def test_a_mutated_origin_ends_as_it_should_in_bounded_memory(
    family: str, results: dict[str, Any]
) -> None:
    found = results[family]
    assert not found["wrong"]
    assert sum(found["outcomes"].values()) > 4
    assert found["mebibytes"] < MOST
