"""How many threads the workers of one command have."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

ALLOWED = """
import os
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
from src.tune.workers import cores
print(cores())
"""


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="Linux alone has it")
def test_cores_that_a_process_may_not_use_are_not_counted() -> None:
    done = subprocess.run([sys.executable, "-c", ALLOWED], capture_output=True, check=True)
    assert int(done.stdout) == 1
