"""How every picture is drawn: one look, no display, the same bytes for the same figures.

Charts are drawn in the few colours below, on no background, so that the SVG can follow a
reader's light or dark setting: `svg` replaces them by CSS variables that have two values each.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec

from src.files import atomic

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray
    from torch import Tensor

P = ParamSpec("P")

INK = "#1c2128"
MUTED = "#66707b"
GRID = "#dfe3e8"
BLUE = "#2860c5"
ORANGE = "#c8580a"
GREEN = "#1b7f53"
PURPLE = "#8a3fb0"
PAPER = "#fdfdfc"  # behind text that must stand clear of what it lies on

DARK = {
    INK: "#e7eaee",
    MUTED: "#9aa4af",
    GRID: "#343b44",
    BLUE: "#7fabff",
    ORANGE: "#ff9d5c",
    GREEN: "#5fce9c",
    PURPLE: "#d29bf0",
    PAPER: "#171b20",
}
STYLE: Any = {
    "font.size": 9,
    "text.color": INK,
    "text.parse_math": False,  # a subject may be called $100
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "svg.hashsalt": "face-finetune",
    "svg.fonttype": "path",
}


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Give a function that draws a figure the style above, for as long as it draws."""

    @wraps(draw)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> Figure:
        from matplotlib import rc_context

        with rc_context(STYLE):
            return draw(*args, **kwargs)

    return wrapper


def figure(width: float, height: float, rows: int = 1, columns: int = 1) -> tuple[Figure, Any]:
    """A figure of `width` x `height` inches and its (rows, columns) array of axes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(drawn)  # no window, whatever the display
    return drawn, drawn.subplots(rows, columns, squeeze=False)


def save_png(drawn: Figure, path: Path) -> None:
    """Write as PNG at 144 dots per inch on white, atomically."""
    from matplotlib import rc_context

    with rc_context(STYLE), atomic(path) as temporary:
        drawn.savefig(
            temporary, format="png", dpi=144, facecolor="white", metadata={"Software": None}
        )


def svg(drawn: Figure) -> str:
    """The figure as SVG text that shows in light or dark as the reader's system is set."""
    from matplotlib import rc_context

    text = io.StringIO()
    with rc_context(STYLE):
        drawn.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    content = text.getvalue()
    for number, colour in enumerate(DARK):
        content = content.replace(colour, f"var(--c{number})")
    light = ";".join(f"--c{number}:{colour}" for number, colour in enumerate(DARK))
    dark = ";".join(f"--c{number}:{colour}" for number, colour in enumerate(DARK.values()))
    rules = f"svg{{{light}}}@media(prefers-color-scheme:dark){{svg{{{dark}}}}}"
    return content.replace("<defs>", f"<defs><style>{rules}</style>", 1)


def shades(colour: str) -> Any:
    """A colour map from nothing to `colour`, by transparency, so that any page shows through."""
    from matplotlib.colors import LinearSegmentedColormap, to_rgb

    red, green, blue = to_rgb(colour)
    return LinearSegmentedColormap.from_list(
        "shades", [(red, green, blue, 0.0), (red, green, blue, 1.0)]
    )


def picture(image: Tensor) -> NDArray[Any]:
    """(3, H, W) uint8 as matplotlib and pillow take it, (H, W, 3)."""
    array: NDArray[Any] = image.permute(1, 2, 0).numpy()
    return array


def face(axis: Any, image: Tensor, caption: str, colour: str = INK) -> None:
    """Show one (3, H, W) uint8 picture without axes, a caption above it."""
    axis.imshow(picture(image), interpolation="nearest")
    axis.set_title(caption, fontsize=8, color=colour)
    blank(axis)


def blank(axis: Any) -> None:
    """Take away ticks and frame."""
    axis.set_xticks([])
    axis.set_yticks([])
    axis.spines[:].set_visible(False)
