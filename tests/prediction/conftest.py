"""Photos to ask about."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tests.tracking.projects import Project


@pytest.fixture
def photos(project: Project) -> list[str]:
    """Two photos, one not square, of the size the network takes or larger."""
    pixels = np.random.default_rng(0).integers(0, 256, (48, 48, 3), np.uint8)
    Image.fromarray(pixels[:32, :32]).save("exact.png")
    Image.fromarray(pixels[:40]).save("wide.png")
    return ["exact.png", "wide.png"]
