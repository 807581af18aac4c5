"""The style of every figure; no display is needed, and equal figures have equal bytes.

Figures use only the colours below, on a transparent background, so that an SVG can follow the
reader's light or dark setting: `svg` replaces them by CSS variables with two values each.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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
PAPER = "#fdfdfc"  # behind text, to set it off from what it lies on

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
    """Decorate a function that draws a figure: it runs with the style above."""

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


def rows_of_accuracies(axis: Any, names: Sequence[str], xlabel: str) -> None:
    """Set up an axis that has a row for each name, the first on top, and percents along it."""
    axis.set_yticks(range(len(names)), names, color=INK)
    axis.set_ylim(len(names) - 0.5, -0.5)
    axis.set_xlim(0, 102)  # a mark at 100% is shown whole
    axis.tick_params(axis="y", length=0)
    axis.spines["left"].set_visible(False)
    axis.grid(axis="x")
    axis.set_axisbelow(True)
    axis.set_xlabel(xlabel)


def save_png(drawn: Figure, path: Path) -> None:
    """Write as PNG at 144 dots per inch on white, atomically."""
    from matplotlib import rc_context

    with rc_context(STYLE), atomic(path) as temporary:
        drawn.savefig(
            temporary,
            format="png",
            dpi=144,
            facecolor="white",
            metadata={"Software": None},
            pil_kwargs={"compress_level": 1},  # twice as fast as 4 on photographs, 15% larger
        )


def svg(drawn: Figure) -> str:
    """The figure as SVG text that follows the reader's light or dark setting."""
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
    """A colour map from transparent to `colour`, so that it fits any background."""
    from matplotlib.colors import LinearSegmentedColormap, to_rgb

    red, green, blue = to_rgb(colour)
    return LinearSegmentedColormap.from_list(
        "shades", [(red, green, blue, 0.0), (red, green, blue, 1.0)]
    )


def to_hwc(image: Tensor) -> NDArray[Any]:
    """A (3, H, W) uint8 image as the (H, W, 3) array that matplotlib and Pillow take."""
    array: NDArray[Any] = image.permute(1, 2, 0).numpy()
    return array


@dataclass(frozen=True)
class Tile:
    """One cell of a gallery: a (3, S, S) uint8 image or none, with a caption above it."""

    image: Tensor | None
    caption: str
    colour: str = INK


@styled
def gallery(rows: Sequence[Sequence[Tile]], labels: Sequence[str] = ()) -> Figure:
    """Rows of images an inch wide, with a label to the left of each row if there are labels.

    All share one pair of axes: matplotlib takes seconds to lay out a grid of axes.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    width, height = 1.12, 1.3  # of a cell, in inches
    left = 1.4 if labels else 0.1
    columns = max(map(len, rows))
    size = (left + width * columns, height * len(rows) + 0.1)
    drawn = Figure(figsize=size)
    FigureCanvasAgg(drawn)
    axis = drawn.add_axes((0, 0, 1, 1))
    for row, tiles in enumerate(rows):
        top = height * row + 0.25
        for column, tile in enumerate(tiles):
            x = left + width * column
            axis.text(x, top - 0.05, tile.caption, color=tile.colour, fontsize=7.5, va="bottom")
            if tile.image is not None:
                axis.imshow(to_hwc(tile.image), extent=(x, x + 1, top + 1, top))
    for row, label in enumerate(labels):
        axis.text(left - 0.12, height * row + 0.75, label, ha="right", va="center")
    axis.set_xlim(0, size[0])
    axis.set_ylim(size[1], 0)
    axis.set_axis_off()
    return drawn
