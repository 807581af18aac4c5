"""Rendering subjects, each view painted from back to front."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from src.data.streams import RenderPurpose, render_stream
from src.data.synthetic import face, hair, palette, scene
from src.data.synthetic.canvas import Canvas, Plane
from src.data.synthetic.traits import Identity, View, draw


def render_subjects(
    subjects: int,
    images_per_subject: int,
    image_size: int,
    seed: int,
    first_subject: int = 0,
    difficulty: float = 1.0,
) -> NDArray[np.uint8]:
    """(subjects·images_per_subject, image_size, image_size, 3) uint8 RGB, subject by subject.

    Subjects are numbered from `first_subject`. `difficulty` scales how far pose, light, expression
    and camera differ from neutral.
    """
    shape = (subjects * images_per_subject, image_size, image_size, 3)
    images = np.empty(shape, np.uint8)
    for row in range(len(images)):
        subject, image = divmod(row, images_per_subject)
        subject += first_subject
        who = draw(Identity, render_stream(RenderPurpose.subject, seed, subject))
        view = draw(View, render_stream(RenderPurpose.image, seed, subject, image), difficulty)
        images[row] = render(who, view, image_size)
    return images


def render(who: Identity, view: View, size: int) -> NDArray[np.uint8]:
    """(size, size, 3) uint8 RGB; equal arguments give equal bytes."""
    return scene.develop(expose(who, view, size), view)


def expose(who: Identity, view: View, size: int) -> Plane:
    """The image before it is quantised: (3, size, size) float64, 0 for black and 1 for white."""
    rng = render_stream(RenderPurpose.scene, view.scene)
    canvas = Canvas(size, who, view)
    scene.background(canvas, view, rng)
    texture = hair.texture(canvas, who, view)
    hair.back(canvas, who, view, texture)
    neck = scene.body(canvas, who, rng)
    for side in (-1, 1):
        ear(canvas, who, view, side)
    head = canvas.cover(face.outline(canvas, who))
    face.skin(canvas, who, view, head)
    face.nose(canvas, who)
    hair.facial(canvas, who, view, head)
    face.mouth(canvas, who, view)
    for side in (-1, 1):
        face.eye(canvas, who, view, side)
        face.brow(canvas, who, view, side)
    shade = face.light(canvas, who, view)
    canvas.shade(shade, np.maximum(head, 0.6 * neck))
    cover = hair.front(canvas, who, head, texture)
    canvas.shade(shade, 0.7 * cover * (1 - head))
    glasses(canvas, who)
    scene.occlude(canvas, who, view, rng)
    return scene.expose(canvas, view, rng)


def ear(canvas: Canvas, who: Identity, view: View, side: int) -> None:
    """One ear, behind the head; turning the head hides one and shows the other."""
    x = canvas.x - side * (who.width - 0.01) + 0.16 * np.sin(view.yaw)
    y = canvas.y - who.ear_y - 0.15 * np.sin(view.pitch)
    distance = np.hypot(x / 0.55, y) - who.ear_size
    tone = palette.skin(who)
    canvas.paint(tone * 0.93, canvas.cover(distance))
    canvas.shade(0.68, canvas.cover(distance + 0.06, 0.06))
    if who.earring > 0:
        drop = np.hypot(x - side * 0.02, y - who.ear_size - 0.03) - 0.03 - 0.05 * who.earring
        canvas.paint((0.95, 0.83, 0.45), canvas.cover(drop))


def glasses(canvas: Canvas, who: Identity) -> None:
    """Glasses: two rims, a bridge, and the arms towards the ears."""
    if who.glasses <= 0:
        return
    colour = palette.frame(who)
    thick = 0.016 + 0.02 * who.glasses
    wide, high = 0.225, 0.155 + 0.03 * who.glasses
    for side in (-1, 1):
        at = canvas.patch(side * who.eye_spacing, who.eye_y + 0.02, 0.75, 0.06)
        power = who.frame_shape
        norm = (np.abs(at.x / wide) ** power + np.abs(at.y / high) ** power) ** (1 / power)
        canvas.paint((0.85, 0.92, 1.0), 0.10 * canvas.cover(norm - 1), at.window)
        canvas.paint(colour, canvas.cover(np.abs(norm - 1) * high - thick), at.window)
        beyond = side * at.x
        arm = np.maximum(np.abs(at.y + 0.05) - thick, np.maximum(wide - beyond, beyond - 0.45))
        canvas.paint(colour, canvas.cover(arm) * (canvas.depth[at.window] > 0), at.window)
    at = canvas.patch(0, who.eye_y - 0.01, 0.4, 0.09)
    bridge = np.maximum(np.abs(at.y) - thick, np.abs(at.x) - who.eye_spacing + wide)
    canvas.paint(colour, canvas.cover(bridge), at.window)
