"""The surroundings of the head, and the effects of the camera."""

from __future__ import annotations

import io

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from src.data.synthetic import palette
from src.data.synthetic.canvas import SUPERSAMPLING, Canvas, Plane, bump, smooth
from src.data.synthetic.traits import Identity, View


def _any_colour(rng: Generator, saturation: float = 0.6) -> palette.RGB:
    return palette.hsv(rng.uniform(), saturation * rng.uniform(), rng.uniform(0.15, 0.95))


def background(canvas: Canvas, view: View, rng: Generator) -> None:
    """A gradient of two colours with soft shapes, bars and a texture over it."""
    one, two = (_any_colour(rng)[:, None, None] for _ in range(2))
    turn = rng.uniform(0, 2 * np.pi)
    along = np.cos(turn) * canvas.column + np.sin(turn) * canvas.row
    canvas.rgb[:] = one + (two - one) * smooth(0.5 + along / 2)
    for _ in range(int(7 * view.clutter)):
        x, y, turn = rng.uniform((-1, -1, 0), (1, 1, np.pi)).tolist()
        wide, high = rng.uniform(0.08, 0.7, 2).tolist()
        c, s = np.cos(turn), np.sin(turn)
        dx, dy = canvas.column - x, canvas.row - y
        a, b = np.abs(c * dx + s * dy) / wide, np.abs(c * dy - s * dx) / high
        shape = np.maximum(a, b) if rng.uniform() < 0.5 else np.sqrt(a * a + b * b)
        edge = rng.uniform(0.03, 0.5)
        canvas.paint(_any_colour(rng), np.clip((1 - shape) / edge, 0, 1) * 0.85)
    waves = rng.uniform(4, 30, 2).tolist()
    texture = np.sin(waves[0] * canvas.column + 3 * canvas.row)
    texture *= np.sin(waves[1] * canvas.row[:, :1])
    canvas.rgb *= 1 + 0.12 * view.clutter * texture


def body(canvas: Canvas, who: Identity, rng: Generator) -> Plane:
    """Neck, shoulders and clothes; returns the neck's opacity, (C, C)."""
    x, y = canvas.x, canvas.y
    neck_half = 0.40 + 0.12 * (who.width - 0.69) / 0.14 + 0.05 * np.clip(y - 1, 0, 1)
    neck = canvas.cover(np.maximum(np.abs(x) - neck_half, 0.3 - y), 0.02)
    canvas.paint(palette.skin(who) * 0.9, neck)
    slope = 1.22 + 0.55 * np.clip(np.abs(x) - 0.35, 0, 2) ** 1.4
    collar = rng.uniform(-0.05, 0.35) * np.clip(1 - np.abs(x) / 0.45, 0, 1)
    cloth = canvas.cover(slope + collar - y, 0.02)
    colour = _any_colour(rng, 0.9)
    canvas.paint(colour, cloth)
    if rng.uniform() < 0.4:
        stripes = np.sin(rng.uniform(8, 26) * (x if rng.uniform() < 0.5 else y))
        canvas.paint(_any_colour(rng, 0.9), cloth * smooth(stripes * 2))
    shadow = bump(x + 0.25 * canvas.view.light_x, y - 1.0, 0.6, 0.25)
    canvas.shade(0.45, neck * shadow)
    return neck


def occlude(canvas: Canvas, who: Identity, view: View, rng: Generator) -> None:
    """Something in front of the face: sunglasses, a scarf, a hand, a cap or a bar."""
    size = view.occlusion
    if size <= 0:
        return
    kind = int(rng.integers(5))
    colour = _any_colour(rng, 0.9)
    if kind == 0:
        for side in (-1, 1):
            at = canvas.patch(side * who.eye_spacing, who.eye_y + 0.02, 0.45, 0.08)
            lens = (np.abs(at.x / 0.25) ** 3 + np.abs(at.y / 0.19) ** 3) ** (1 / 3) - 1
            canvas.paint(colour * 0.22, canvas.cover(0.2 * lens), at.window)
        at = canvas.patch(0, who.eye_y - 0.05, 0.3, 0.1)
        canvas.paint(
            colour * 0.22,
            canvas.cover(np.abs(at.y) - 0.03) * (np.abs(at.x) < 0.15),
            at.window,
        )
        return
    if kind == 1:
        distance = 0.92 - 0.75 * size - canvas.v + 0.05 * np.sin(9 * canvas.u)
        distance = np.maximum(distance, np.abs(canvas.x) - 1.0)
        distance = np.maximum(distance, canvas.y - 1.5)
        colour = colour[:, None, None] * (1 + 0.2 * np.sin(30 * canvas.v + 4 * canvas.u))
    elif kind == 2:
        left = rng.choice([-1, 1])
        x, y = canvas.x - left * (0.75 - 0.5 * size), canvas.y - rng.uniform(0.2, 0.7)
        fingers = np.hypot(np.clip(x * left, 0, 1.5) * 0.25, y) - 0.24
        tips = np.hypot(np.minimum(x * left, 0), np.mod(y + 0.24, 0.12) - 0.06) - 0.055
        distance = np.where(
            x * left > 0, fingers, np.where(np.abs(y) < 0.24, tips - 0.10 * (x * left > -0.2), 1)
        )
        colour = palette.skin(who)[:, None, None] * (0.9 - 0.18 * smooth(np.cos(52 * y) * 4 - 3))
    elif kind == 3:
        distance = np.maximum(canvas.v + 0.62 - 0.35 * size, np.abs(canvas.x) - who.width - 0.12)
        distance = np.maximum(distance, -1.25 - canvas.y)
        colour = colour[:, None, None] * (1 + 0.15 * np.sin(28 * canvas.u))
    else:
        turn = rng.uniform(0, np.pi)
        across = np.cos(turn) * canvas.column + np.sin(turn) * canvas.row
        distance = np.abs(across - rng.uniform(-0.5, 0.5)) - 0.22 * size
    canvas.paint(colour, canvas.cover(distance, 0.01))


def expose(canvas: Canvas, view: View, rng: Generator) -> Plane:
    """Apply exposure, white balance, contrast, blur and noise; (3, S, S), 0 black and 1 white."""
    from scipy.ndimage import gaussian_filter

    n, size = SUPERSAMPLING, canvas.side // SUPERSAMPLING
    image = canvas.rgb.reshape(3, size, n, size, n).mean((2, 4))
    cast = np.exp(np.asarray((view.warmth, view.tint, -view.warmth)) + view.exposure)
    image = image * cast[:, None, None]
    image = 0.5 + (image - 0.5) * (1 + view.contrast)
    if view.blur > 0:
        sigma = view.blur * size / 64
        image = gaussian_filter(image, (0, sigma, sigma), truncate=2.5)
    if view.noise > 0:
        image = image + view.noise * rng.standard_normal(image.shape)
    return image


def develop(image: Plane, view: View) -> NDArray[np.uint8]:
    """The finished image, (S, S, 3) uint8, with the JPEG compression of a camera."""
    from PIL import Image

    pixels = (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8).transpose(1, 2, 0)
    if view.compression <= 0:
        return pixels
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=int(90 - 65 * min(view.compression, 1)))
    return np.asarray(Image.open(file))
