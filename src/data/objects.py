"""Parametric objects: rendered images of many classes, for literature studies without downloads.

A kind of object has a random outline, texture and colours; an image of it has a random position,
rotation, size, light, background and noise. Outlines are Fourier series of the radius (Zahn and
Roskies, 1972). The draws depend only on the seed and the numbers of kind and image, so a smaller
set is part of a larger one. Rendered in double precision, as `src.data.synthetic` explains.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import cos, exp, pi, sin
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from src.data.streams import RenderPurpose, render_stream

HARMONICS = 5
NOISE = 0.03  # standard deviation, of pixels in [0, 1]


@dataclass(frozen=True)
class Part:
    """A blob with a texture; lengths are in half sides of the image, colours RGB in [0, 1]."""

    radius: float
    stretch: float
    outline: NDArray[Any]  # (HARMONICS, 2): amplitudes and phases
    shift: NDArray[Any]  # (2,)
    colours: NDArray[Any]  # (2, 3)
    stripes: NDArray[Any]  # (3,): waves across, direction, share of rings


@dataclass(frozen=True)
class Style:
    """What the kinds of object are like, and how an object is seen.

    likeness: within [0, 1], from kinds that share nothing (0, like birds and cars) to kinds that
    are all the same (1; close to it they differ as species of birds do). families: kinds take turns
    in as many groups, and resemble only those of their own. parts: of an object. zoom: its size.
    clutter: contrast of the background, within [0, 1].
    """

    likeness: float = 0.0
    families: int = 1
    parts: int = 2
    zoom: float = 1.0
    clutter: float = 1.0


def render_objects(
    kinds: list[int],
    images_per_kind: int,
    size: int,
    seed: int,
    style: Style = Style(),
    first_image: int = 0,
) -> NDArray[np.uint8]:
    """(len(kinds)·images_per_kind, size, size, 3) uint8 RGB, by kind, from `first_image` on."""
    images = np.empty((len(kinds) * images_per_kind, size, size, 3), np.uint8)
    for place, kind in enumerate(kinds):
        family = [kind % style.families] if style.families > 1 else []
        common = _kind(render_stream(RenderPurpose.common, seed, *family), style.parts)
        own = _kind(render_stream(RenderPurpose.subject, seed, kind), style.parts)
        parts = [_interpolate(a, b, style.likeness) for a, b in zip(own, common, strict=True)]
        for image in range(images_per_kind):
            draw = render_stream(RenderPurpose.image, seed, kind, first_image + image)
            row = place * images_per_kind + image
            images[row] = render_object(parts, size, draw, style)
    return images


def _kind(draw: Generator, parts: int) -> list[Part]:
    falling = 0.5 / (1 + np.arange(HARMONICS))
    return [
        Part(
            radius=draw.uniform(0.32, 0.5) * (0.55 if number else 1.0),
            stretch=draw.uniform(0.5, 1.0),
            outline=np.stack(
                [falling * draw.normal(0, 0.5, HARMONICS), draw.uniform(0, 2 * pi, HARMONICS)],
                axis=1,
            ),
            shift=draw.normal(0, 0.25, 2) * bool(number),
            colours=draw.uniform(0.05, 0.95, (2, 3)),
            stripes=np.array([draw.uniform(2, 12), draw.uniform(0, pi), draw.integers(2)]),
        )
        for number in range(parts)
    ]


def _interpolate(own: Part, common: Part, likeness: float) -> Part:
    values = {
        field.name: (1 - likeness) * getattr(own, field.name)
        + likeness * getattr(common, field.name)
        for field in fields(Part)
    }
    return Part(**values)


def render_object(parts: list[Part], size: int, draw: Generator, style: Style) -> NDArray[np.uint8]:
    """(size, size, 3) uint8: one view of an object in front of a random background."""
    axis = (np.arange(size) * 2 + 1) / size - 1
    x, y = np.meshgrid(axis, axis)
    image = _background(x, y, draw, style.clutter)
    turn, zoom = draw.normal(0, 0.4), style.zoom * exp(draw.normal(0, 0.2))
    tint, light = draw.normal(0, 0.06, 3), draw.uniform(0, 2 * pi)
    x, y = (x - draw.normal(0, 0.15)) / zoom, (y - draw.normal(0, 0.15)) / zoom
    x, y = x * cos(turn) + y * sin(turn), y * cos(turn) - x * sin(turn)
    for part in parts:
        across, down = part.shift.tolist()
        _paint(image, part, (x - across, y - down), tint, light)
    image = (image - 0.5) * exp(draw.normal(0, 0.2)) + (0.5 + draw.normal(0, 0.08))
    image += NOISE * draw.standard_normal(image.shape)
    return (image.clip(0, 1) * 255).round().astype(np.uint8)


def _background(x: NDArray[Any], y: NDArray[Any], draw: Generator, clutter: float) -> NDArray[Any]:
    """(size, size, 3): two colours, mixed by the sum of three waves."""
    near, far = 0.5 + clutter * (draw.uniform(0, 1, (2, 3)) - 0.5)
    waves = np.zeros_like(x)
    for _ in range(3):
        waves += np.sin(draw.normal(0, 4) * x + draw.normal(0, 4) * y + draw.uniform(0, 6))
    share = (0.5 + waves / 6)[..., None]
    image: NDArray[Any] = near * share + far * (1 - share)
    return image


def _paint(
    image: NDArray[Any],
    part: Part,
    place: tuple[NDArray[Any], NDArray[Any]],
    tint: NDArray[Any],
    light: float,
) -> None:
    """Paint a part over the image, in place; its edge is one pixel wide."""
    x, y = place
    y = y / part.stretch
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    edge = np.ones_like(radius)
    for number, (amplitude, phase) in enumerate(part.outline.tolist(), 1):
        edge += amplitude * np.cos(number * angle + phase)
    edge = part.radius * edge.clip(0.3, 1.8)
    cover = ((edge - radius) * image.shape[0] / 2 + 0.5).clip(0, 1)[..., None]
    waves, direction, rings = part.stripes.tolist()
    straight = x * cos(direction) + y * sin(direction)
    across = rings * radius + (1 - rings) * straight
    share = (0.5 + 0.5 * np.sin(2 * pi * waves * across))[..., None]
    first, second = part.colours
    colour = first * share + second * (1 - share) + tint
    shade = 1 - 0.35 * (radius / edge) * (0.5 + 0.5 * np.cos(angle - light))
    image += cover * (colour * shade[..., None] - image)
