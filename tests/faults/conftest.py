"""How often to kill, and where."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kills", type=int, default=1, help="kill points of each step")
    parser.addoption("--kill-seed", type=int, default=0, help="of the moments at which to kill")
