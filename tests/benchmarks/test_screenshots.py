"""Screenshots are small, and never of people."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.screenshots import LARGEST, check_rendered, small
from src.errors import OriginError
from tests.shipped import SHIPPED


def test_an_image_of_any_content_becomes_small_enough() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (600, 900, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "PNG")
    made = small(file.getvalue())
    assert len(made) <= LARGEST < len(file.getvalue())
    assert made.startswith(b"\x89PNG")


def test_only_rendered_faces_are_shown(tmp_path: Path) -> None:
    check_rendered(str(SHIPPED / "data/synthetic.yaml"))
    for origin in ("faces.tar.gz", str(SHIPPED / "data/cub200.yaml")):
        with pytest.raises(OriginError, match="may be faces of people"):
            check_rendered(origin)
