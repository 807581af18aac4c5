"""The canvas that faces are painted on: coordinates, and antialiased painting.

Shapes are signed distances (negative inside, in head units) whose edges fade over one pixel.
Features are painted only in the window they cover, which is most of the renderer's speed. They lie
on an ellipsoid turned by yaw and pitch, so that they shift and foreshorten as those of a turned
head do.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, exp, sin
from typing import Any

import numpy as np
from numpy.typing import NDArray

from src.data.synthetic.traits import Identity, View

Plane = NDArray[Any]  # float64 throughout, which numpy's stubs cannot follow
Window = tuple[slice, slice]
Colour = tuple[float, float, float] | Plane

SUPERSAMPLING = 2
HEAD_SCALE = 0.60  # of half the image's side; the size of one head unit
ALL: Window = (slice(None), slice(None))


@dataclass(frozen=True)
class Patch:
    """A window of the image, and the surface coordinates of its pixels, (h, w) float64."""

    window: Window
    x: Plane
    y: Plane


class Canvas:
    """A square linear RGB image, (3, C, C) float64, C = 2 `size`, with a posed head's axes.

    x, y: (C, C) in head units, upright with the head, ignoring its turn. u, v: the same on
    the turned head's surface. pixel: the side of one pixel in head units.
    """

    def __init__(self, size: int, identity: Identity, view: View) -> None:
        self.side = side = size * SUPERSAMPLING
        self.half = identity.width
        self.view = view
        self.scale = HEAD_SCALE * exp(view.zoom)
        self.pixel = 2 / (side * self.scale)
        self.rgb: Plane = np.zeros((3, side, side))

        axis = (np.arange(side) * 2 + 1) / side - 1
        self.column, self.row = np.meshgrid(axis, axis)
        across = (self.column - view.shift_x) / self.scale
        down = (self.row - view.shift_y) / self.scale
        c, s = cos(view.roll), sin(view.roll)
        self.x: Plane = c * across + s * down
        self.y: Plane = c * down - s * across

        self.depth: Plane = np.sqrt(np.maximum(1 - (self.x / self.half) ** 2 - self.y**2, 0))
        c, s = cos(view.yaw), sin(view.yaw)
        self.u: Plane = c * self.x - s * self.half * self.depth
        turned = s * self.x / self.half + c * self.depth
        self.v: Plane = cos(view.pitch) * self.y - sin(view.pitch) * turned

    def patch(self, u: float, v: float, radius: float, lift: float = 0.0) -> Patch:
        """The pixels within `radius` of surface point (u, v).

        With `lift`, the point floats that far above the ellipsoid, and shifts when the head turns.
        Coordinates are relative to (u, v).
        """
        x, y = self.project(u, v, lift)
        view = self.view
        c, s = cos(view.roll), sin(view.roll)
        column = (c * x - s * y) * self.scale + view.shift_x
        row = (s * x + c * y) * self.scale + view.shift_y
        reach = radius * self.scale + 2 / self.side

        def span(centre: float) -> slice:
            first, last = ((centre + sign * reach + 1) / 2 * self.side for sign in (-1, 1))
            return slice(max(int(first), 0), max(int(last) + 1, 0))

        window = span(row), span(column)
        shift = lift * sin(view.yaw), lift * sin(view.pitch)
        return Patch(window, self.u[window] - u - shift[0], self.v[window] - v - shift[1])

    def project(self, u: float, v: float, lift: float = 0.0) -> tuple[float, float]:
        """Where surface point (u, v) lies in the upright plane (x, y)."""
        view, across = self.view, u / self.half
        depth = max(1 - across**2 - v**2, 0.0) ** 0.5
        y = cos(view.pitch) * v + sin(view.pitch) * depth
        turned = cos(view.pitch) * depth - sin(view.pitch) * v
        x = cos(view.yaw) * across + sin(view.yaw) * turned
        return x * self.half + lift * sin(view.yaw), y + lift * sin(view.pitch)

    def cover(self, distance: Plane, softness: float = 0.0) -> Plane:
        """Opacity of a shape: 1 inside, 0 outside; the edge is one pixel plus `softness` wide."""
        return np.clip(0.5 - distance / (self.pixel + softness), 0, 1)

    def paint(self, colour: Colour, opacity: Plane, window: Window = ALL) -> None:
        """Blend `colour` (RGB in 0..1, or a (3, h, w) image) into a window, by `opacity` (h, w)."""
        inks = np.asarray(colour)
        for channel, ink in zip(self.rgb[:, window[0], window[1]], inks, strict=True):
            np.add(channel, opacity * (ink - channel), out=channel)  # each fits the cache

    def shade(self, factor: Plane | float, opacity: Plane, window: Window = ALL) -> None:
        """Multiply a window by `factor`, to the extent of `opacity`."""
        self.rgb[:, window[0], window[1]] *= 1 + opacity * (factor - 1)


def smooth(x: Plane) -> Plane:
    """Smoothstep of x clipped to 0..1."""
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)


def bump(x: Plane, y: Plane, width: float, height: float) -> Plane:
    """A Gaussian of height 1."""
    return np.exp(-((x / width) ** 2) - (y / height) ** 2)
