"""Images that lie in the page itself, as data URIs: charts, and photos with captions."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from src.data.faceset import FaceSet
from src.errors import StaleInputError
from src.evaluation.metrics import per_subject
from src.evaluation.mistakes import Mistake, worst_mistakes, worst_subjects
from src.evaluation.predictions import Predictions
from src.plotting import svg, to_hwc

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor

MISTAKES = 12  # shown on the page
SUBJECTS = 6  # the hardest ones, with their test images
IMAGES_PER_SUBJECT = 10


@dataclass(frozen=True)
class EmbeddedImage:
    """The content of an `img` element, with its alternative text."""

    source: str
    alt: str


def read_figure(path: Path) -> bytes:
    """A figure that a stage drew; raises StaleInputError where it is missing."""
    try:
        return path.read_bytes()
    except OSError:
        raise StaleInputError(str(path), "missing", "run `dvc repro`") from None


def embed(content: bytes, kind: str, alt: str) -> EmbeddedImage:
    """A file's bytes as an image in the page; `kind` is its MIME type."""
    return EmbeddedImage(f"data:{kind};base64,{base64.b64encode(content).decode()}", alt)


def embed_figure(drawn: Figure, alt: str) -> EmbeddedImage:
    """A figure as SVG in the page."""
    return embed(svg(drawn).encode(), "image/svg+xml", alt)


def embed_photo(image: Tensor, alt: str) -> EmbeddedImage:
    """A (3, H, W) uint8 image in the page, as PNG."""
    from PIL import Image

    content = io.BytesIO()
    Image.fromarray(to_hwc(image)).save(content, "PNG")
    return embed(content.getvalue(), "image/png", alt)


@dataclass(frozen=True)
class Photo:
    """One image of the dataset with its caption; `right` where it was named right."""

    image: EmbeddedImage
    caption: str
    right: bool = False


@dataclass(frozen=True)
class MistakePair:
    """A wrong answer: the test image, and a training image of the subject it was taken for.

    taken_for: None where that subject has no training image. called: the answer, in words.
    """

    shown: Photo
    taken_for: Photo | None
    called: str


@dataclass(frozen=True)
class HardSubject:
    """A subject that is often named wrong, with its test images, wrong answers first."""

    name: str
    recall: float
    photos: tuple[Photo, ...]


def mistake_pairs(
    faces: FaceSet, predictions: Predictions, experiment: str
) -> tuple[MistakePair, ...]:
    """The wrong answers that one experiment gave with the highest probability."""
    mistakes = worst_mistakes(faces, predictions, experiment, MISTAKES)
    return tuple(_pair(faces, mistake, predictions.subjects) for mistake in mistakes)


def _pair(faces: FaceSet, mistake: Mistake, subjects: tuple[str, ...]) -> MistakePair:
    actual, predicted = subjects[mistake.actual], subjects[mistake.predicted]
    shown = Photo(embed_photo(faces.images[mistake.row], f"test image of {actual}"), actual)
    called = f"{predicted}, {mistake.probability:.0%}"
    if mistake.lookalike is None:
        return MistakePair(shown, None, called)
    alike = embed_photo(faces.images[mistake.lookalike], f"training image of {predicted}")
    return MistakePair(shown, Photo(alike, predicted), called)


def hard_subjects(
    faces: FaceSet, predictions: Predictions, experiment: str
) -> tuple[HardSubject, ...]:
    """The subjects with the lowest recall in one experiment."""
    labels, predicted = predictions.labels, predictions.predicted(experiment)
    scores = per_subject(labels, predicted, predictions.subjects)
    found = []
    for subject in worst_subjects(scores, SUBJECTS):
        name = predictions.subjects[subject]
        photos = tuple(
            Photo(
                embed_photo(faces.images[int(predictions.rows[index])], f"test image of {name}"),
                predictions.subjects[predicted[index]],
                right=bool(predicted[index] == labels[index]),
            )
            for index in predictions.of_subject(experiment, subject)[:IMAGES_PER_SUBJECT]
        )
        found.append(HardSubject(name, scores[subject].recall, photos))
    return tuple(found)
