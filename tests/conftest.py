"""Fixtures that tests of every part share."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.tracking.projects"]

# A shell starts what it runs in the background with Ctrl-C ignored, and so would be the processes
# that tests start and interrupt; a handler of our own is not inherited.
signal.signal(signal.SIGINT, signal.default_int_handler)

# `pytest --hypothesis-profile thorough`: 102,000 examples for the three of tests/test_fuzz_*.py.
settings.register_profile(
    "thorough", max_examples=34_000, deadline=None, suppress_health_check=[*HealthCheck]
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The slow files first, so that of several workers none begins one when the others are done."""
    items.sort(key=lambda item: item.get_closest_marker("pipeline") is None)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real faces and weights that no repository holds; skips where it is absent."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("FACE_DATA_DIR", beside)).resolve()
    if not folder.is_dir():
        pytest.skip(f"needs real faces, and neither FACE_DATA_DIR nor {beside} is a folder")
    return folder
