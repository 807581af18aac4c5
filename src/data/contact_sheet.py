"""An overview of the dataset: one row per subject, with training and test images."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from src.data.faceset import FaceSet, Split

SUBJECTS, TRAINING, TESTING = 20, 9, 3  # shown at most
TILE, GAP, NAME, TOP = 72, 4, 150, 26  # pixels
INK, MUTED, PAPER = "#1c2128", "#66707b", "#ffffff"


def contact_sheet(faces: FaceSet) -> Image.Image:
    """The first training and test images of up to SUBJECTS subjects, evenly spaced in the set."""
    count = len(faces.subjects)
    shown = sorted({round(i) for i in np.linspace(0, count - 1, min(count, SUBJECTS))})
    columns = TRAINING + TESTING
    width = NAME + columns * (TILE + GAP) + 4 * GAP
    sheet = Image.new("RGB", (width, TOP + len(shown) * (TILE + GAP)), PAPER)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(13)
    draw.text((NAME, 6), "training", MUTED, font)
    draw.text((_left(TRAINING), 6), "test", MUTED, font)
    for line, label in enumerate(shown):
        top = TOP + line * (TILE + GAP)
        draw.text((8, top + TILE // 2 - 8), _short(faces.subjects[label]), INK, font)
        for split, first, most in ((Split.train, 0, TRAINING), (Split.test, TRAINING, TESTING)):
            rows = faces.rows(split)
            own = rows[faces.labels[rows] == label][:most]
            for column, row in enumerate(own.tolist(), first):
                pixels = faces.images[row].permute(1, 2, 0).numpy()
                tile = Image.fromarray(pixels).resize((TILE, TILE), Image.Resampling.BICUBIC)
                sheet.paste(tile, (_left(column), top))
    return sheet


def _left(column: int) -> int:
    return NAME + column * (TILE + GAP) + (4 * GAP if column >= TRAINING else 0)


def _short(name: str) -> str:
    return name if len(name) <= 18 else f"{name[:17]}…"
