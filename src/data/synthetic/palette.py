"""Colours of skin, hair, irises, lips and glasses."""

from __future__ import annotations

import colorsys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from src.data.synthetic.traits import Identity

RGB = NDArray[Any]  # (3,) float64

# Stops from light to dark, evenly spaced.
_SKIN = (
    (0.97, 0.83, 0.74),
    (0.92, 0.73, 0.60),
    (0.80, 0.59, 0.44),
    (0.58, 0.39, 0.27),
    (0.36, 0.23, 0.16),
)
_HAIR = (
    (0.90, 0.77, 0.50),
    (0.68, 0.50, 0.29),
    (0.42, 0.27, 0.16),
    (0.22, 0.14, 0.10),
    (0.08, 0.07, 0.08),
)
_IRIS = (
    (0.24, 0.13, 0.07),
    (0.42, 0.26, 0.12),
    (0.36, 0.42, 0.22),
    (0.30, 0.50, 0.62),
    (0.50, 0.56, 0.60),
)
_FRAME = (
    (0.06, 0.06, 0.08),
    (0.35, 0.20, 0.10),
    (0.55, 0.10, 0.12),
    (0.12, 0.20, 0.45),
    (0.72, 0.62, 0.40),
)


def _along(stops: tuple[tuple[float, float, float], ...], position: float) -> RGB:
    table = np.asarray(stops)
    at = np.clip(position, 0, 1) * (len(table) - 1)
    low = min(int(at), len(table) - 2)
    return table[low] + (at - low) * (table[low + 1] - table[low])


def hsv(hue: float, saturation: float, value: float) -> RGB:
    """RGB in 0..1 of a hue (turns), saturation and value."""
    return np.asarray(colorsys.hsv_to_rgb(hue % 1, saturation, value))


def skin(who: Identity) -> RGB:
    """Skin, darker with melanin and redder with ruddiness."""
    return _along(_SKIN, who.melanin) * (1 + who.ruddiness * np.asarray((0.03, -0.02, -0.06)))


def hair(who: Identity) -> RGB:
    """Hair, darker with melanin, redder with red pigment, greyer with age."""
    colour = _along(_HAIR, who.hair_melanin)
    red = max(who.hair_red, 0.0) * (1 - who.hair_melanin)
    colour = colour * (1 + red * np.asarray((0.12, -0.38, -0.55)))
    grey = 0.85 * max(who.age - 0.45, 0) / 0.55
    return colour + grey * (np.asarray((0.72, 0.72, 0.73)) - colour)


def iris(who: Identity) -> RGB:
    """From brown through hazel and green to blue and grey; rarely light with dark skin."""
    return _along(_IRIS, who.iris_hue * (1 - 0.7 * who.melanin))


def lips(who: Identity) -> RGB:
    """The colour of the skin, more or less reddened."""
    base = skin(who)
    red = np.asarray((0.78, 0.22, 0.27))
    return base * 0.95 + (0.28 + 0.4 * who.lip_colour) * (red * (base.mean() + 0.35) - base)


def frame(who: Identity) -> RGB:
    """Black, horn, red, blue or gold."""
    return _along(_FRAME, who.frame_hue)
