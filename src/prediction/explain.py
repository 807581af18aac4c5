"""An image for each photo that shows what an answer rests on.

From the left: the photo as the network sees it, what in it speaks for the likeliest subject, and
the training faces nearest to it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from src.data.entries import Pixels
from src.errors import printable
from src.files import atomic
from src.models.classifier import Classifier
from src.plotting import INK, MUTED, to_hwc
from src.prediction.inputs import EXPLAINED
from src.prediction.layercam import heat_maps
from src.prediction.neighbours import Neighbour, TrainingFaces
from src.prediction.stream import Batch, Prediction

NEAREST = 5  # training faces
AT_ONCE = 8  # photos whose gradients are in memory together
SIDE, GAP, TEXT, LINE = 176, 8, 13, 17  # pixels
LONGEST = 200  # bytes of a photo's name; with what is added a file system takes 255
VEIL = 0.75  # of the heat over the photo, where it is hottest


@dataclass
class Explainer:
    """Writes explanations to a folder; without training faces if there are none."""

    classifier: Classifier
    training: TrainingFaces | None
    folder: Path
    names: dict[str, int] = field(default_factory=dict)

    def write(self, batch: Batch) -> None:
        """Write `NAME.explained.png` for each photo; `NAME.2.explained.png` for a second NAME."""
        for start in range(0, len(batch.predictions), AT_ONCE):
            part = slice(start, start + AT_ONCE)
            self._write(batch.images[part], batch.predictions[part])

    def _write(self, images: Tensor, predictions: Sequence[Prediction]) -> None:
        number = {subject: index for index, subject in enumerate(self.classifier.subjects)}
        likeliest = torch.tensor([number[each.subjects[0][0]] for each in predictions])
        maps = heat_maps(self.classifier, images, likeliest)
        nearest: list[list[Neighbour]] = [[] for _ in predictions]
        if self.training:
            nearest = self.training.nearest(self.classifier.outputs(images)[0], NEAREST)
        for image, prediction, heat, faces in zip(images, predictions, maps, nearest, strict=True):
            drawn = explanation(image, prediction, heat, faces)
            with atomic(self._path(Path(prediction.photo).name)) as temporary:
                drawn.save(temporary, "PNG")

    def _path(self, name: str) -> Path:
        name = os.fsdecode(os.fsencode(name)[:LONGEST])
        count = self.names[name] = self.names.get(name, 0) + 1
        return self.folder / f"{name}{'' if count == 1 else f'.{count}'}{EXPLAINED}"


def explanation(
    image: Tensor, prediction: Prediction, heat: Tensor, nearest: Sequence[Neighbour]
) -> Image.Image:
    """One photo's image: (3, S, S) uint8, with its (S, S) heat map in [0, 1]."""
    subject, share = prediction.subjects[0]
    verdict = f"{'unknown; ' if prediction.unknown else ''}{share:.1%}"
    tiles = [
        (to_hwc(image), Path(prediction.photo).name, "photo"),
        (overlay(to_hwc(image), heat), subject, verdict),
        *((to_hwc(each.image), each.subject, f"distance {each.distance:.3f}") for each in nearest),
    ]
    size = GAP + len(tiles) * (SIDE + GAP) + (2 * GAP if nearest else 0), SIDE + 2 * GAP + 2 * LINE
    sheet = Image.new("RGB", size, "white")
    draw, font = ImageDraw.Draw(sheet), _font()
    for column, (pixels, title, note) in enumerate(tiles):
        left = GAP + column * (SIDE + GAP) + (2 * GAP if column > 1 else 0)
        draw.text((left, GAP), _fitting(printable(title), draw, font), INK, font)
        draw.text((left, GAP + LINE), note, MUTED, font)
        tile = Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        sheet.paste(tile, (left, GAP + 2 * LINE))
    return sheet


def overlay(pixels: Pixels, heat: Tensor) -> Pixels:
    """(S, S, 3) uint8 with its (S, S) heat map over it, which hides it where it is hottest."""
    from matplotlib import colormaps

    warm = heat.numpy()
    veil = VEIL * warm[..., None]
    mixed: NDArray[np.float64] = (1 - veil) * pixels + veil * 255 * colormaps["inferno"](
        0.25 + 0.75 * warm
    )[..., :3]
    return mixed.round().astype(np.uint8)


def _font() -> ImageFont.FreeTypeFont:
    """The font of figures, which has the letters of more languages than Pillow's own."""
    from matplotlib import get_data_path

    return ImageFont.truetype(Path(get_data_path()) / "fonts/ttf/DejaVuSans.ttf", TEXT)


def _fitting(text: str, draw: ImageDraw.ImageDraw, font: ImageFont.FreeTypeFont) -> str:
    short = text[:100]
    while draw.textlength(short, font) > SIDE:
        short = f"{short.removesuffix('…')[:-1]}…"
    return short
