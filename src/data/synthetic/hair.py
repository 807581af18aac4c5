"""Hair of the head and the face."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from src.data.synthetic import palette
from src.data.synthetic.canvas import Canvas, Plane, bump, smooth
from src.data.synthetic.face import outline
from src.data.synthetic.traits import Identity, View


@dataclass(frozen=True)
class HairTexture:
    """The texture that the hair behind and in front of the head share.

    strands: (C, C) brightness, about 1, of strands that fall from the parting or of curls.
    bulge: (C, C) in head units, how far curly or ruffled hair extends the outline.
    """

    strands: Plane
    bulge: Plane


def texture(canvas: Canvas, who: Identity, view: View) -> HairTexture:
    """Compute the texture, once for `back` and `front` because it is slow."""
    curl = max(who.curl, 0)
    fall = (canvas.x - who.parting) / (canvas.y + 2.2)
    straight = np.sin(46 * fall + 2.5 * np.sin(11 * fall + 3 * view.ruffle) + 2 * canvas.y)
    sheen = bump(canvas.x - 0.3 * view.light_x, canvas.y + 0.72, 0.55, 0.16)
    strands = 1 + (1 - curl) * (0.20 * straight + 0.45 * sheen)
    if curl:
        curls = np.sin(17 * canvas.x + 3 * np.sin(7 * canvas.y))
        strands += 0.26 * curl * curls * np.sin(17 * canvas.y + view.ruffle)
    size = 0.035 * curl + 0.012 * abs(view.ruffle)
    bulge = np.sin(13 * canvas.x + 5 * view.ruffle) + np.sin(12 * canvas.y + 4 * who.parting)
    return HairTexture(strands, size * bulge)


def back(canvas: Canvas, who: Identity, view: View, texture: HairTexture) -> None:
    """The hair behind the head, and a bun on top."""
    colour = palette.hair(who) * 0.62
    if who.bald > 0:
        return
    bulk = outline(canvas, who, grow=who.sides + 0.04, rise=who.top)
    if who.length > 0:
        half = who.width + who.sides + 0.10 * np.clip(canvas.y + 0.5, 0, 1)
        sway = canvas.x + 0.10 * view.yaw * np.clip(canvas.y + 0.2, 0, 2)
        fall = np.maximum(np.abs(sway) - half, canvas.y - who.length)
        fall = np.maximum(fall, -0.1 - canvas.y)
        bulk = np.minimum(bulk, fall)
    else:
        bulk = np.maximum(bulk, canvas.y - 0.35)
    canvas.paint(colour[:, None, None] * texture.strands, canvas.cover(bulk - texture.bulge, 0.03))
    if who.bun > 0:
        at = canvas.patch(0.3 * who.parting, -0.99, 0.75)
        knot = np.hypot(at.x, at.y + 0.18 + who.top) - 0.22 - 0.12 * who.bun
        canvas.paint(colour * 1.3, canvas.cover(knot, 0.03), at.window)
        canvas.shade(0.75, smooth(1 + knot / 0.12) * canvas.cover(knot, 0.03), at.window)


def front(canvas: Canvas, who: Identity, head: Plane, texture: HairTexture) -> Plane:
    """The hair over the skull, down to the hairline; returns its opacity, (C, C).

    `head` is the opacity of the bare head, (C, C), on which the hair casts its shadow.
    """
    side = np.abs(canvas.u) / who.width
    line = -who.hairline + 0.9 * np.clip(side - (0.92 - 0.25 * who.temples), 0, 1) * 6 * (
        0.3 + who.temples
    )
    line = np.minimum(line, 0.25 + 0.15 * who.temples)
    line = line + who.peak * bump(canvas.u, canvas.u, 0.16, 0.16)
    if who.bald > 0:
        distance = np.maximum(outline(canvas, who, grow=0.03), 0.80 - side)
        distance = np.maximum(distance, canvas.v - 0.2)
        distance = np.maximum(distance, -0.35 - canvas.y)
    else:
        away = np.abs(canvas.u - who.parting)
        line = line + who.sweep * 0.75 * np.minimum(away, 0.75) ** 1.5
        if who.fringe > 0:
            teeth = 0.035 * np.sin(19 * canvas.u + 9 * who.parting) + 0.02 * np.sin(41 * canvas.u)
            low = who.eye_y - who.brow_height + 0.06 - 0.30 * (0.5 - who.fringe)
            line = np.maximum(line, low + teeth - 0.25 * canvas.u * who.parting)
        cap = outline(canvas, who, grow=who.sides + 0.02, rise=who.top) - texture.bulge
        distance = np.maximum(cap, canvas.v - line)
        if who.length > 0:
            curtain = np.maximum(
                0.80 + 0.22 * (1 - who.temples) - side, canvas.y - 0.8 * who.length
            )
            distance = np.minimum(distance, np.maximum(np.maximum(curtain, cap), -0.5 - canvas.y))
    cover = canvas.cover(distance, 0.03)
    shadow = canvas.cover(distance - 0.07, 0.14)
    canvas.shade(0.72, shadow * head)
    canvas.paint(palette.hair(who)[:, None, None] * texture.strands, cover)
    return cover


def facial(canvas: Canvas, who: Identity, view: View, head: Plane) -> None:
    """Beard and moustache, from stubble to full; painted before the lips."""
    colour = palette.hair(who) * 0.72
    grain = 1 + 0.22 * np.sin(90 * canvas.u + 40 * canvas.v) * np.sin(70 * canvas.v)
    if who.beard > 0:
        side = np.abs(canvas.u) / who.width
        line = 0.46 - 0.75 * np.clip(side - 0.45, 0, 1) + 0.05 * view.mouth_open
        area = smooth((canvas.v - line) / 0.16) * head
        canvas.paint(colour[:, None, None] * grain, (0.35 + 0.6 * min(1.6 * who.beard, 1)) * area)
    if who.moustache > 0:
        at = canvas.patch(0, who.mouth_y - 0.085, 0.5, 0.06)
        wide = who.mouth_width * 1.1
        drop = at.y - 0.35 * at.x**2 / wide + 0.05 * view.smile * (at.x / wide) ** 2
        hair = np.maximum(np.abs(drop) - 0.038 - 0.03 * who.moustache, np.abs(at.x) - wide)
        canvas.paint(colour, (0.5 + 0.45 * who.moustache) * canvas.cover(hair, 0.04), at.window)
