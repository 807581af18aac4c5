"""What the page shows of an answer: names with probabilities, and what speaks for them."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

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
    """A network that answers, with the faces it was trained on, or a note why not."""

    model: Model
    training: TrainingFaces | None
    note: str = ""

    @classmethod
    def of(cls, model: Model, project: Path) -> Answers:
        """Read the training faces, if they are those of the network."""
        training = training_faces(model.classifier, project)
        return cls(model, None, training) if isinstance(training, str) else cls(model, training)

    @property
    def about(self) -> dict[str, Any]:
        """Who answers, for the page to say."""
        threshold = self.model.threshold
        return {
            "model": self.model.name,
            "subjects": len(self.model.classifier.subjects),
            "knows_strangers": bool(threshold and threshold.score),
            "note": self.note,
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
            "name": prediction.name,
            "unknown": prediction.unknown,
            "candidates": prediction.candidates,
            "subjects": [
                {"subject": subject, "probability": round(share, 6)}
                for subject, share in prediction.subjects
            ],
            "seen": png(to_hwc(batch.images[0])),
            "heat": png(overlay(to_hwc(batch.images[0]), heat)),
            "nearest": self._nearest(batch.images),
        }

    def _nearest(self, images: Tensor) -> list[dict[str, Any]]:
        if self.training is None:
            return []
        features = self.model.classifier.outputs(images)[0]
        return [
            {
                "subject": face.subject,
                "distance": round(face.distance, 4),
                "image": png(to_hwc(face.image)),
            }
            for face in self.training.nearest(features, NEAREST)[0]
        ]


def png(pixels: Pixels) -> str:
    """(S, S, 3) uint8 as a data URL."""
    return f"data:image/png;base64,{base64.b64encode(png_bytes(pixels)).decode()}"


def png_bytes(pixels: Pixels) -> bytes:
    """(S, S, 3) uint8 as the content of a PNG file."""
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG", compress_level=1)
    return content.getvalue()
