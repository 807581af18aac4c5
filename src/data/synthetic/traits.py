"""The traits of synthetic faces: those of a subject, and those of a single view.

Each field declares the range from which it is drawn uniformly. A feature whose range extends below
zero is absent at negative values (most people wear no glasses). Lengths are in head units: the head
is 2 high and centred on the origin, x points to the right of the image, y down.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

from numpy.random import Generator


def trait(low: float, high: float) -> Any:
    """A number drawn uniformly from [low, high)."""
    return field(default=0.0, metadata={"range": (low, high)})


def seed() -> Any:
    """A seed for what is drawn elsewhere."""
    return field(default=0, metadata={"seed": True})


@dataclass(frozen=True)
class Identity:
    """The traits of a subject, the same in all of its images."""

    # head
    width: float = trait(0.69, 0.83)  # half-width at the cheekbones
    jaw: float = trait(0.10, 0.42)  # how much the face narrows towards the chin
    squareness: float = trait(2.0, 2.9)  # exponent of the jaw's superellipse
    chin: float = trait(0.90, 1.10)  # length from the centre to the chin
    forehead: float = trait(0.0, 0.14)  # how much the head narrows upwards
    ear_size: float = trait(0.14, 0.25)
    ear_y: float = trait(-0.02, 0.16)
    cheekbones: float = trait(0.0, 0.16)  # relief
    # complexion
    melanin: float = trait(0.0, 1.0)
    ruddiness: float = trait(-1.0, 1.0)
    blush: float = trait(-0.2, 0.5)
    freckles: float = trait(-3.0, 1.0)
    moles: float = trait(-2.0, 3.0)  # how many
    marks: int = seed()  # of the positions of both
    age: float = trait(-1.2, 1.0)  # depth of the folds, grey in the hair
    # eyes and brows
    eye_spacing: float = trait(0.27, 0.38)  # of each pupil from the middle
    eye_y: float = trait(-0.14, 0.02)
    eye_width: float = trait(0.135, 0.195)  # half
    eye_height: float = trait(0.38, 0.68)  # of the half-width
    eye_tilt: float = trait(-0.16, 0.22)  # outer corner up, radians
    iris_size: float = trait(0.074, 0.098)
    iris_hue: float = trait(0.0, 1.0)  # through brown, hazel, green, blue, grey
    lids: float = trait(0.0, 1.0)  # weight of the crease
    lashes: float = trait(0.012, 0.038)
    brow_height: float = trait(0.17, 0.28)  # above the eye
    brow_thickness: float = trait(0.016, 0.058)
    brow_length: float = trait(0.19, 0.27)  # half
    brow_arch: float = trait(-0.02, 0.10)
    brow_tilt: float = trait(-0.26, 0.22)
    # nose and mouth
    nose_length: float = trait(0.28, 0.44)  # below the eyes
    nose_width: float = trait(0.085, 0.165)  # half, at the nostrils
    nose_bridge: float = trait(0.035, 0.085)
    nose_relief: float = trait(0.10, 0.20)
    mouth_y: float = trait(0.50, 0.62)
    mouth_width: float = trait(0.18, 0.32)  # half
    upper_lip: float = trait(0.025, 0.075)
    lower_lip: float = trait(0.04, 0.095)
    lip_colour: float = trait(0.0, 1.0)
    cupid: float = trait(0.0, 0.5)
    # hair
    hair_melanin: float = trait(0.0, 1.0)
    hair_red: float = trait(-0.6, 1.0)
    bald: float = trait(-8.0, 1.0)
    hairline: float = trait(0.46, 0.74)  # height above the centre
    peak: float = trait(-0.08, 0.10)  # widow's peak
    temples: float = trait(0.0, 0.9)  # how far the hair reaches in at the sides
    parting: float = trait(-0.5, 0.5)
    sweep: float = trait(-0.1, 0.5)  # how far it falls away from the parting
    fringe: float = trait(-0.9, 0.5)
    top: float = trait(0.04, 0.24)  # volume above the head
    sides: float = trait(0.0, 0.20)  # volume beside it
    length: float = trait(-1.1, 1.7)  # how far down it hangs
    curl: float = trait(-0.8, 1.0)
    bun: float = trait(-3.0, 1.0)
    # facial hair and accessories
    moustache: float = trait(-3.0, 1.0)
    beard: float = trait(-3.0, 1.0)
    glasses: float = trait(-2.0, 1.0)
    frame_shape: float = trait(2.0, 5.0)  # exponent: round to square
    frame_hue: float = trait(0.0, 1.0)
    earring: float = trait(-4.0, 1.0)


@dataclass(frozen=True)
class View:
    """The traits of one photograph, independent of the subject; all zeros is a neutral view."""

    # pose and framing
    yaw: float = trait(-0.62, 0.62)  # radians, as are the next two
    pitch: float = trait(-0.34, 0.34)
    roll: float = trait(-0.38, 0.38)
    zoom: float = trait(-0.20, 0.20)  # log of the scale
    shift_x: float = trait(-0.19, 0.19)  # of half the image
    shift_y: float = trait(-0.16, 0.16)
    # expression
    smile: float = trait(-0.7, 1.0)
    mouth_open: float = trait(-0.7, 1.0)
    brow_raise: float = trait(-1.0, 1.0)
    eye_closure: float = trait(-0.5, 0.75)
    gaze_x: float = trait(-1.0, 1.0)
    gaze_y: float = trait(-1.0, 1.0)
    # light
    light_x: float = trait(-1.0, 1.0)
    light_y: float = trait(-0.9, 0.5)
    hardness: float = trait(-0.6, 0.9)  # of the shadows
    exposure: float = trait(-0.42, 0.34)  # log of the gain
    warmth: float = trait(-0.20, 0.20)
    tint: float = trait(-0.09, 0.09)
    # camera
    contrast: float = trait(-0.30, 0.30)
    blur: float = trait(-0.8, 1.1)  # pixels at 64×64
    noise: float = trait(-0.01, 0.05)
    compression: float = trait(-0.6, 1.0)
    # surroundings
    clutter: float = trait(0.0, 1.0)
    occlusion: float = trait(-0.9, 0.6)
    ruffle: float = trait(-1.0, 1.0)  # of the hair
    scene: int = seed()  # of the background, the clothes, the occluder and the noise


T = TypeVar("T", Identity, View)


def draw(kind: type[T], rng: Generator, spread: float = 1.0) -> T:
    """Draw every trait of `kind`, times `spread`: 0 gives all zeros, 1 the declared ranges.

    Seeds have 63 bits, so that two are practically never equal.
    """
    ranges = {f.name: f.metadata["range"] for f in fields(kind) if "range" in f.metadata}
    low, high = zip(*ranges.values(), strict=True)
    values = spread * rng.uniform(low, high)
    drawn: dict[str, Any] = dict(zip(ranges, values.tolist(), strict=True))
    seeds = {f.name: int(rng.integers(2**63)) for f in fields(kind) if "seed" in f.metadata}
    return kind(**drawn, **seeds)
