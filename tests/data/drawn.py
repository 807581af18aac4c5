"""What a process renders with the processor features that numpy finds."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy._core._multiarray_umath import (  # type: ignore[attr-defined]
    __cpu_dispatch__,
    __cpu_features__,
)
from numpy.typing import NDArray

from src.data.objects import Style, render_objects
from src.data.synthetic.render import expose, render_subjects
from src.data.synthetic.traits import Identity, View, draw

FOUND = tuple(name for name in __cpu_dispatch__ if __cpu_features__[name])


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
