"""Screenshots are small, and never of people."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.screenshots import LARGEST, Page, check_rendered, shoot, small
from src.errors import OriginError
from tests.shipped import SHIPPED


def test_an_image_of_any_content_becomes_small_enough() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (600, 900, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "PNG")
    made = small(file.getvalue())
    assert len(made) <= LARGEST < len(file.getvalue())
    assert made.startswith(b"\x89PNG")


@pytest.mark.skipif(not shutil.which("chromium"), reason="needs Chromium")
def test_a_page_is_shown_in_its_window_once_it_is_ready(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    script = "setTimeout(() => document.body.append(document.createElement('hr')), 300)"
    path.write_text(f"<body bgcolor=red><button onclick={script!r}>close</button>")
    ready = "document.querySelector('hr') !== null"
    shown = shoot(Page("page", path.as_uri(), 300, 200, ready, closed="button"))
    image = Image.open(io.BytesIO(shown)).convert("RGB")
    assert image.size == (300, 200)
    assert image.getpixel((299, 199)) == (255, 0, 0)


def test_only_rendered_faces_are_shown(tmp_path: Path) -> None:
    check_rendered(str(SHIPPED / "data/synthetic.yaml"))
    for origin in ("faces.tar.gz", str(SHIPPED / "data/cub200.yaml")):
        with pytest.raises(OriginError, match="may be faces of people"):
            check_rendered(origin)
