"""Rendered images have the same bytes for every processor feature that numpy may use."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.data.drawn import FOUND, Drawn

SCRIPT = """
import sys
from pathlib import Path
from tests.data.drawn import Drawn
Drawn.here().save(Path(sys.argv[1]))
"""


@pytest.fixture(scope="module")
def default() -> Drawn:
    return Drawn.here()


def levels() -> list[tuple[str, ...]]:
    """Features to disable: the highest level that numpy uses, the two highest, ..., all of them."""
    return [FOUND[first:] for first in reversed(range(len(FOUND)))]


@pytest.mark.skipif(not FOUND, reason="numpy dispatches to nothing above its baseline here")
@pytest.mark.parametrize("disabled", levels(), ids=lambda names: f"without-{names[0]}")
def test_images_are_the_same_bytes_with_processor_features_disabled(
    disabled: tuple[str, ...], default: Drawn, tmp_path: Path
) -> None:
    """Before rounding they differ by so little that other images are unlikely to differ."""
    off = {"NPY_DISABLE_CPU_FEATURES": " ".join(disabled), "JSIMD_FORCENONE": "1"}  # and JPEG's own
    file = tmp_path / "drawn.npz"
    subprocess.run([sys.executable, "-c", SCRIPT, file], env={**os.environ, **off}, check=True)
    other = Drawn.load(file)
    assert other.found == tuple(name for name in FOUND if name not in disabled)
    assert np.abs(other.exposed - default.exposed).max() < 1e-12
    assert np.array_equal(other.faces, default.faces)
    assert np.array_equal(other.objects, default.objects)


@pytest.mark.skipif(not FOUND, reason="numpy dispatches to nothing above its baseline here")
def test_disabling_processor_features_changes_single_precision() -> None:
    """Otherwise the test above could not fail: float32 functions do depend on the processor."""
    script = (
        "import numpy as np, hashlib;"
        "x = np.linspace(-3, 3, 10**5, dtype=np.float32);"
        "print([hashlib.sha256(f(x).tobytes()).hexdigest() for f in (np.exp, np.sin, np.cos)])"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "NPY_DISABLE_CPU_FEATURES": names},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for names in ("", " ".join(FOUND))
    }
    assert len(outputs) == 2, np.__version__
