"""Painting a head: outline, relief, eyes, brows, nose, mouth and skin, from back to front."""

from __future__ import annotations

from math import cos, hypot, sin

import numpy as np

from src.data.streams import RenderPurpose, render_stream
from src.data.synthetic import palette
from src.data.synthetic.canvas import Canvas, Plane, bump, smooth
from src.data.synthetic.traits import Identity, View


def outline(canvas: Canvas, who: Identity, grow: float = 0.0, rise: float = 0.0) -> Plane:
    """Distance to the head's outline, (C, C), made wider by `grow` and higher by `rise`."""
    view = canvas.view
    below = np.clip(canvas.y, 0, 1.3)
    x = canvas.x - 0.16 * sin(view.yaw) * below  # the chin swings out with the turn
    chin = who.chin * (1 + 0.05 * max(view.mouth_open, 0)) * (1 - 0.10 * view.pitch)
    narrowing = 1 - who.jaw * below**1.6 - who.forehead * np.clip(-canvas.y, 0, 1) ** 2
    half = (who.width + grow) * np.maximum(narrowing, 0.2)
    height = np.where(canvas.y < 0, 1 + rise, chin)
    power = np.where(canvas.y < 0, 2.1, who.squareness)
    norm = np.abs(x / half) ** power + np.abs(canvas.y / height) ** power
    return (norm ** (1 / power) - 1) * who.width


def relief(canvas: Canvas, who: Identity, view: View) -> Plane:
    """Height of the features above the skull, (C, C), in head units."""
    nose_y = who.eye_y + who.nose_length
    mouth_y = who.mouth_y + 0.02 * view.mouth_open
    height: Plane = np.zeros_like(canvas.x)
    lift = who.nose_relief
    hills = [
        # u, v, width, height, size, lift
        (0.0, who.eye_y - 0.20, 0.42, 0.10, 0.05, 0.0),
        (-who.eye_spacing, who.eye_y, 0.19, 0.13, -0.055, 0.0),
        (who.eye_spacing, who.eye_y, 0.19, 0.13, -0.055, 0.0),
        (
            0.0,
            who.eye_y + 0.45 * who.nose_length,
            who.nose_bridge,
            0.55 * who.nose_length,
            0.7 * lift,
            0.5 * lift,
        ),
        (0.0, nose_y - 0.05, 0.75 * who.nose_width, 0.085, lift, lift),
        (-0.75 * who.nose_width, nose_y - 0.01, 0.05, 0.05, 0.45 * lift, 0.5 * lift),
        (0.75 * who.nose_width, nose_y - 0.01, 0.05, 0.05, 0.45 * lift, 0.5 * lift),
        (
            -0.42,
            0.20 - 0.05 * view.smile,
            0.20,
            0.16,
            who.cheekbones * (0.5 + 0.3 * view.smile),
            0.0,
        ),
        (
            0.42,
            0.20 - 0.05 * view.smile,
            0.20,
            0.16,
            who.cheekbones * (0.5 + 0.3 * view.smile),
            0.0,
        ),
        (0.0, mouth_y - 0.03, 0.8 * who.mouth_width, 0.08, 0.05, 0.04),
        (0.0, mouth_y + 0.13, 0.20, 0.05, -0.03, 0.0),
        (0.0, who.chin - 0.16, 0.17, 0.12, 0.07, 0.03),
    ]
    for u, v, wide, high, size, up in hills:
        at = canvas.patch(u, v, 2.3 * max(wide, high), up)
        height[at.window] += size * bump(at.x, at.y, wide, high)
    return height


def light(canvas: Canvas, who: Identity, view: View) -> Plane:
    """Light reflected by each point of the head, (C, C), about 1, by Lambert's cosine law."""
    height = relief(canvas, who, view)
    slope_y, slope_x = np.gradient(height, canvas.pixel)
    c, s = cos(view.roll), sin(view.roll)
    x = canvas.x / canvas.half * 0.85 - (c * slope_x + s * slope_y)
    y = canvas.y * 0.75 - (c * slope_y - s * slope_x)
    z = canvas.depth + 0.25
    towards = view.light_x, view.light_y - 0.35, 0.9
    cosine = (x * towards[0] + y * towards[1] + z * towards[2]) / (
        hypot(*towards) * np.sqrt(x * x + y * y + z * z)
    )
    key = 0.62 + 0.38 * view.hardness
    return (1 - 0.72 * key) + key * np.maximum(cosine, 0)


def skin(canvas: Canvas, who: Identity, view: View, head: Plane) -> None:
    """The bare head: skin, blush, freckles, moles and wrinkles."""
    canvas.paint(palette.skin(who), head)
    tone = palette.skin(who)
    for side in (-1, 1):
        at = canvas.patch(side * 0.42, 0.26, 0.4)
        flush = max(who.blush + 0.1, 0) * bump(at.x, at.y, 0.2, 0.15)
        canvas.paint(tone * np.asarray((1.0, 0.66, 0.62)), flush * head[at.window], at.window)
        socket = canvas.patch(side * who.eye_spacing, who.eye_y - 0.01, 0.45)
        canvas.shade(0.72, 0.55 * bump(socket.x, socket.y, 0.20, 0.13), socket.window)
        _fold(canvas, who, view, side)
    marks = render_stream(RenderPurpose.marks, who.marks)
    for _ in range(int(26 * max(who.freckles, 0))):
        u, v = marks.normal(0, 0.30), marks.normal(0.18, 0.10)
        at = canvas.patch(u, v, 0.05)
        canvas.shade(0.68, 0.7 * bump(at.x, at.y, 0.016, 0.016), at.window)
    for _ in range(max(int(who.moles + 1), 0)):
        u, v = marks.uniform(-0.48, 0.48), marks.uniform(0.05, 0.75)
        at = canvas.patch(u, v, 0.09)
        canvas.paint(
            (0.16, 0.09, 0.07), 0.85 * canvas.cover(np.hypot(at.x, at.y) - 0.026), at.window
        )


def _fold(canvas: Canvas, who: Identity, view: View, side: int) -> None:
    """The nasolabial fold, deeper in a smile, and the lines on an older forehead."""
    nose_y = who.eye_y + who.nose_length
    at = canvas.patch(side * (who.nose_width + 0.12), nose_y + 0.08, 0.3)
    bend = at.x * side - 0.55 * at.y - 0.9 * at.y**2
    depth = 0.10 + 0.30 * max(who.age, 0) + 0.16 * max(view.smile, 0)
    canvas.shade(0.5, depth * bump(bend, at.y, 0.035, 0.15), at.window)
    if who.age > 0 and side > 0:
        at = canvas.patch(0, who.eye_y - 0.42, 0.4)
        lines = np.cos(at.y * 60) * bump(at.x, at.y, 0.3, 0.1)
        canvas.shade(0.6, 0.5 * who.age * np.maximum(lines, 0), at.window)


def eye(canvas: Canvas, who: Identity, view: View, side: int) -> None:
    """One eye: white, iris, pupil, lids, lashes; `side` is −1 at the image's left."""
    wide = who.eye_width
    at = canvas.patch(side * who.eye_spacing, who.eye_y, 2 * wide)
    tilt = side * who.eye_tilt
    a = (cos(tilt) * at.x + sin(tilt) * at.y) / wide
    b = (cos(tilt) * at.y - sin(tilt) * at.x) / wide
    bow = 1 - np.minimum(a * a, 1.5)
    opening = 1 - max(view.eye_closure + 0.08 * view.smile, -0.25)
    upper = -1.15 * who.eye_height * opening * bow * (1 - 0.18 * side * a) + 0.15 * (1 - opening)
    lower = 0.62 * who.eye_height * (1 - 0.25 * (1 - opening)) * bow
    almond = canvas.cover(np.maximum(upper - b, b - lower) * wide)
    canvas.paint((0.93, 0.91, 0.90), almond, at.window)

    gaze = 0.075 * view.gaze_x, 0.045 * view.gaze_y - 0.012
    disc = np.hypot(at.x - gaze[0], at.y - gaze[1])
    ring = palette.iris(who)
    canvas.paint(ring * 0.55, almond * canvas.cover(disc - who.iris_size), at.window)
    canvas.paint(ring, almond * canvas.cover(disc - 0.78 * who.iris_size), at.window)
    canvas.paint((0.03, 0.03, 0.04), almond * canvas.cover(disc - 0.46 * who.iris_size), at.window)
    canvas.shade(0.55, almond * smooth(1 - (b - upper) / 0.35), at.window)  # the lid's shadow
    glint = np.hypot(at.x - gaze[0] + 0.03, at.y - gaze[1] + 0.032)
    canvas.paint((1, 1, 1), almond * canvas.cover(glint - 0.021), at.window)

    ends = smooth((1.15 - np.abs(a)) / 0.2)
    lash = np.abs(b - upper) * wide - who.lashes * (0.75 + 0.25 * side * a)
    canvas.paint(palette.hair(who) * 0.3, 0.95 * ends * canvas.cover(lash), at.window)
    crease = np.abs(b - upper + 0.32 + 0.1 * opening) * wide - 0.008
    canvas.shade(0.55, (0.25 + 0.6 * who.lids) * ends * canvas.cover(crease, 0.02), at.window)
    under = np.abs(b - lower) * wide - 0.006
    canvas.shade(0.6, 0.6 * ends * canvas.cover(under, 0.015), at.window)


def brow(canvas: Canvas, who: Identity, view: View, side: int) -> None:
    """One eyebrow, raised by expression."""
    raised = 0.055 * view.brow_raise
    at = canvas.patch(side * (who.eye_spacing + 0.015), who.eye_y - who.brow_height - raised, 0.42)
    a = at.x * side / who.brow_length  # from the middle outwards
    spine = -who.brow_tilt * at.x * side - (who.brow_arch + 0.02 * view.brow_raise) * (
        1 - (a - 0.25) ** 2
    )
    thick = who.brow_thickness * (1.05 - 0.55 * smooth(0.5 + 0.6 * a))
    ends = smooth((1.08 - np.abs(a)) / 0.25)
    colour = palette.hair(who) * 0.62
    canvas.paint(colour, 0.9 * ends * canvas.cover(np.abs(at.y - spine) - thick, 0.02), at.window)


def nose(canvas: Canvas, who: Identity) -> None:
    """The parts of the nose that the relief does not shade: nostrils, wings and shadow."""
    base = who.eye_y + who.nose_length
    lift = 0.8 * who.nose_relief
    at = canvas.patch(0, base + 0.06, 0.3, 0.5 * lift)
    canvas.shade(0.62, 0.5 * bump(at.x, at.y, 0.9 * who.nose_width, 0.05), at.window)
    for side in (-1, 1):
        at = canvas.patch(side * 0.5 * who.nose_width, base + 0.012, 0.15, lift)
        hole = np.hypot(at.x / 1.5, at.y + 0.15 * side * at.x) - 0.021
        canvas.paint(palette.skin(who) * 0.22, 0.8 * canvas.cover(hole, 0.01), at.window)
        wing = canvas.patch(side * who.nose_width, base - 0.03, 0.2, 0.5 * lift)
        rim = np.abs(np.hypot(wing.x + 0.03 * side, wing.y) - 0.055) - 0.004
        outer = smooth(0.5 + 8 * side * wing.x)
        canvas.shade(0.6, 0.7 * outer * canvas.cover(rim, 0.02), wing.window)


def mouth(canvas: Canvas, who: Identity, view: View) -> None:
    """Lips, and the teeth and darkness between them in an open mouth."""
    wide = who.mouth_width * (1 + 0.16 * view.smile)
    gap = 0.10 * max(view.mouth_open, 0)
    at = canvas.patch(0, who.mouth_y, wide + 0.22, 0.05)
    a = at.x / wide
    inside = 1 - np.minimum(a * a, 1.4)
    curve = -0.10 * view.smile * (a * a - 0.35)
    dip = 1 - who.cupid * np.exp(-((a / 0.16) ** 2))
    top = curve - gap * 0.45 * inside
    bottom = curve + gap * inside
    upper = np.maximum(top - who.upper_lip * dip * inside - at.y, at.y - top - 0.004)
    plump = who.lower_lip * np.sqrt(np.maximum(inside, 0))
    lower = np.maximum(bottom - 0.004 - at.y, at.y - bottom - plump)
    colour = palette.lips(who)
    canvas.paint(colour * 0.86, canvas.cover(upper, 0.012), at.window)
    canvas.paint(colour, canvas.cover(lower, 0.012), at.window)
    shine = bump(at.x, at.y - bottom - 0.45 * who.lower_lip, 0.45 * wide, 0.3 * who.lower_lip)
    canvas.paint((1, 0.95, 0.93), 0.22 * shine, at.window)
    if gap > 0.015:
        hole = np.maximum(top - at.y, at.y - bottom)
        canvas.paint((0.20, 0.05, 0.06), canvas.cover(hole), at.window)
        teeth = np.maximum(hole, at.y - top - 0.055)
        canvas.paint((0.93, 0.91, 0.87), canvas.cover(teeth), at.window)
    line = np.abs(at.y - (top + bottom) / 2) - 0.007
    ends = smooth((1.1 - np.abs(a)) / 0.2)
    if gap <= 0.015:
        canvas.paint(colour * 0.34, 0.85 * ends * canvas.cover(line, 0.008), at.window)
