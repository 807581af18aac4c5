"""What the page shows of an answer: names with probabilities, and what speaks for them."""

from __future__ import annotations

import base64
import io
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any

import torch
from PIL import Image

from src.data.entries import Pixels
from src.plotting import to_hwc
from src.prediction.explain import NEAREST, overlay
from src.prediction.layercam import heat_maps
from src.prediction.loading import Model
from src.prediction.neighbours import TrainingFaces, training_faces
from src.prediction.stream import answer_content

TOP = 5  # subjects
PHOTO = "photo"  # what errors call it; its name stays in the browser


@dataclass(frozen=True)
class Answers:
    """A network that answers, and the faces it was trained on, or in words why they are not known.

    These take a minute to read where there are many, so that answers do not wait for them.
    """

    model: Model
    training: Future[TrainingFaces | str]

    @classmethod
    def of(cls, model: Model, project: Path) -> Answers:
        """Begin to read the training faces."""
        made = cls(model, Future())
        Thread(target=made._read, args=(project,), daemon=True, name="training faces").start()
        return made

    def _read(self, project: Path) -> None:
        try:
            self.training.set_result(training_faces(self.model.classifier, project))
        except BaseException as error:
            self.training.set_exception(error)

    @property
    def about(self) -> dict[str, Any]:
        """Who answers, for the page to say."""
        threshold = self.model.threshold
        return {
            "model": self.model.name,
            "subjects": len(self.model.classifier.subjects),
            "knows_strangers": bool(threshold and threshold.score),
        }

    def answer(self, content: bytes) -> dict[str, Any]:
        """Whose face is in a photo, given its file's content; raises ImageError or WeightsError."""
        classifier, threshold = self.model.classifier, self.model.threshold
        batch = answer_content(classifier, threshold, PHOTO, content, TOP)
        (prediction,) = batch.predictions
        likeliest = prediction.subjects[0][0]
        number = torch.tensor([classifier.subjects.index(likeliest)])
        (heat,) = heat_maps(classifier, batch.images, number)
        return {
            **prediction.answer,
            "seen": png(to_hwc(batch.images[0])),
            "heat": png(overlay(to_hwc(batch.images[0]), heat)),
        }

    def nearest(self, content: bytes) -> dict[str, Any]:
        """The training faces nearest to a photo, once they are read, or a note why there are none.

        Raises as `answer` does.
        """
        training = self.training.result()
        if isinstance(training, str):
            return {"nearest": [], "note": training}
        classifier = self.model.classifier
        images = answer_content(classifier, None, PHOTO, content, TOP).images
        found = training.nearest(classifier.outputs(images)[0], NEAREST)[0]
        shown = [
            {
                "subject": face.subject,
                "distance": round(face.distance, 4),
                "image": png(to_hwc(face.image)),
            }
            for face in found
        ]
        return {"nearest": shown, "note": ""}


def png(pixels: Pixels) -> str:
    """(S, S, 3) uint8 as a data URL."""
    return f"data:image/png;base64,{base64.b64encode(png_bytes(pixels)).decode()}"


def png_bytes(pixels: Pixels) -> bytes:
    """(S, S, 3) uint8 as the content of a PNG file."""
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG", compress_level=1)
    return content.getvalue()
