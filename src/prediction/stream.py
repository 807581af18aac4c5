"""Answers as a stream: threads decode the next photos while the network runs on a batch.

What is in memory does not grow with the number of photos.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from src.config import Data
from src.data.decode import decode
from src.data.entries import Pixels
from src.data.files import read_file
from src.data.split import UNKNOWN
from src.errors import ImageError
from src.models.classifier import Classifier, at_once
from src.models.threshold import Threshold, answer
from src.prediction.inputs import Found

THREADS = 2  # one decodes 60,000 small photos a minute, more than networks take
BATCH = 32  # photos that the network takes at once; with more it is no faster
AHEAD = 2  # batches that are decoded in advance


@dataclass(frozen=True)
class Prediction:
    """The likeliest subjects of one photo, best first, with their probabilities.

    unknown: whether it looks like none of them. candidates: the subjects that it may well be; None
    without a threshold.
    """

    photo: str
    subjects: tuple[tuple[str, float], ...]
    unknown: bool
    candidates: tuple[str, ...] | None

    @property
    def name(self) -> str:
        """The answer in a word."""
        return UNKNOWN if self.unknown else self.subjects[0][0]

    @property
    def answer(self) -> dict[str, Any]:
        """All but the photo's name, as JSON has it for programs and for the page."""
        return {
            "name": self.name,
            "unknown": self.unknown,
            "candidates": self.candidates,
            "subjects": [
                {"subject": subject, "probability": round(probability, 6)}
                for subject, probability in self.subjects
            ],
        }


@dataclass(frozen=True)
class Batch:
    """Photos that were decoded together: (N, 3, S, S) uint8, their answers, and broken photos."""

    images: Tensor
    predictions: tuple[Prediction, ...]
    broken: tuple[ImageError, ...]


def answers(
    classifier: Classifier, threshold: Threshold | None, photos: Iterable[Found], top: int
) -> Iterator[Batch]:
    """The `top` likeliest subjects of each photo, batch by batch, in order.

    Raises WeightsError where the network's answers are not finite.
    """
    side = classifier.image_size
    size = at_once(side, BATCH)
    decoded = _decoded(photos, _settings(classifier), size)
    while batch := [*islice(decoded, size)]:
        broken = tuple(each for _, each in batch if isinstance(each, ImageError))
        sound = [(name, each) for name, each in batch if not isinstance(each, ImageError)]
        pixels = np.stack([each for _, each in sound]) if sound else np.empty((0, side, side, 3))
        images = torch.from_numpy(pixels).to(torch.uint8).permute(0, 3, 1, 2)
        names = [name for name, _ in sound]
        yield Batch(images, _predictions(classifier, threshold, names, images, top), broken)


def answer_content(
    classifier: Classifier, threshold: Threshold | None, photo: str, content: bytes, top: int
) -> Batch:
    """The same of one photo whose file's content is at hand; `photo` is what errors call it.

    Raises ImageError where it cannot be decoded, and WeightsError.
    """
    pixels = decode(photo, content, _settings(classifier))
    images = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None]
    return Batch(images, _predictions(classifier, threshold, [photo], images, top), ())


def _settings(classifier: Classifier) -> Data:
    """How photos are decoded: within the same bounds as a dataset's, to what the network takes."""
    return Data(origin="-", fit=classifier.spec.fit, image_size=classifier.image_size)


def _predictions(
    classifier: Classifier, threshold: Threshold | None, photos: list[str], images: Tensor, top: int
) -> tuple[Prediction, ...]:
    found, subjects = answer(classifier, threshold, images), classifier.subjects
    best = found.probabilities.topk(min(top, len(subjects)))
    predictions = []
    for row, photo in enumerate(photos):
        names = [subjects[index] for index in best.indices[row].tolist()]
        candidates = None
        if found.candidates is not None:
            candidates = tuple(subjects[index] for index in found.candidates[row].nonzero())
        shares = tuple(zip(names, best.values[row].tolist(), strict=True))
        predictions.append(Prediction(photo, shares, bool(found.unknown[row]), candidates))
    return tuple(predictions)


Decoded = tuple[str, Pixels | ImageError]


def _decoded(photos: Iterable[Found], data: Data, batch: int) -> Iterator[Decoded]:
    """Photos in order, of which at most AHEAD batches more are decoded than have been asked for."""
    waiting: deque[Future[Decoded]] = deque()
    pool = ThreadPoolExecutor(THREADS)
    try:
        for photo in photos:
            waiting.append(pool.submit(_load, photo, data))
            if len(waiting) > AHEAD * batch:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _load(photo: Found, data: Data) -> Decoded:
    if isinstance(photo, ImageError):
        return photo.where, photo
    name = os.fspath(photo)
    try:
        return name, decode(name, _read(photo, data.max_bytes), data)
    except ImageError as error:
        return name, error


def _read(photo: Path, max_bytes: int) -> bytes:
    try:
        return read_file(photo, max_bytes)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        what = (getattr(error, "strerror", None) or "cannot be read").lower()
        raise ImageError(str(photo), what, "give the path of an image file") from None
