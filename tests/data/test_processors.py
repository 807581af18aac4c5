"""Rendered images have the same bytes for every processor feature that numpy may use."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pytest
from numpy._core._multiarray_umath import (  # type: ignore[attr-defined]
    __cpu_dispatch__,
    __cpu_features__,
)
from numpy.typing import NDArray

from src.data.objects import Style, render_objects
from src.data.synthetic.render import expose, render_subjects
from src.data.synthetic.traits import Identity, View, draw

FOUND = tuple(name for name in __cpu_dispatch__ if __cpu_features__[name])
SCRIPT = """
import sys
from pathlib import Path
from tests.data.test_processors import Drawn
Drawn.here().save(Path(sys.argv[1]))
"""


@dataclass(frozen=True)
class Drawn:
    """The processor features that a process found, and what it rendered.

    exposed: (M, 3, 64, 64) float64, faces before they are rounded. faces, objects: uint8.
    """

    found: tuple[str, ...]
    exposed: NDArray[np.float64]
    faces: NDArray[np.uint8]
    objects: NDArray[np.uint8]

    @classmethod
    def here(cls) -> Drawn:
        """Render in this process."""
        streams = (np.random.default_rng(number) for number in range(20))
        exposed = [expose(draw(Identity, each), draw(View, each), 64) for each in streams]
        faces = render_subjects(25, 4, 32, seed=11)
        objects = render_objects(list(range(20)), 3, 32, seed=11, style=Style(likeness=0.5))
        return cls(FOUND, np.stack(exposed), faces, objects)

    def save(self, path: Path) -> None:
        """Write a file that another process can `load`."""
        np.savez(path, **{each.name: getattr(self, each.name) for each in fields(self)})

    @classmethod
    def load(cls, path: Path) -> Drawn:
        """Read a file that `save` wrote."""
        with np.load(path) as file:
            return cls(
                tuple(file["found"].tolist()), file["exposed"], file["faces"], file["objects"]
            )


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
