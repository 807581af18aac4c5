"""What `src.predict` answers to a few photos, all at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from src.models.classifier import Classifier
from src.models.threshold import Threshold
from src.prediction.stream import Prediction, answers


def predict(
    classifier: Classifier, threshold: Threshold | None, photos: Sequence[Path], top: int
) -> tuple[Prediction, ...]:
    """The answers to sound photos, in order."""
    batches = answers(classifier, threshold, photos, top)
    return tuple(prediction for batch in batches for prediction in batch.predictions)
