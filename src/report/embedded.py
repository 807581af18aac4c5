"""Images and charts that lie in the page itself, as data URIs."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from src.plotting import svg, to_hwc

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor


@dataclass(frozen=True)
class EmbeddedImage:
    """The content of an `img` element, with its alternative text."""

    source: str
    alt: str


def embed(content: bytes, kind: str, alt: str) -> EmbeddedImage:
    """A file's bytes as an image in the page; `kind` is its MIME type."""
    return EmbeddedImage(f"data:{kind};base64,{base64.b64encode(content).decode()}", alt)


def embed_figure(drawn: Figure, alt: str) -> EmbeddedImage:
    """A figure as SVG in the page."""
    return embed(svg(drawn).encode(), "image/svg+xml", alt)


def embed_photo(image: Tensor, alt: str) -> EmbeddedImage:
    """A (3, H, W) uint8 image in the page, as PNG."""
    from PIL import Image

    content = io.BytesIO()
    Image.fromarray(to_hwc(image)).save(content, "PNG")
    return embed(content.getvalue(), "image/png", alt)
