"""The kept model's most probable wrong answers, and the subjects with the lowest recall."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from src.data.faceset import FaceSet, Split
from src.evaluation.metrics import SubjectScore
from src.evaluation.predictions import Predictions

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Mistake:
    """One wrong answer.

    `row` is the image's row in the packed dataset; `lookalike` is the row of the predicted
    subject's most similar training image, or None where that subject has none. Subjects are
    indices; `probability` is the network's, of the predicted subject.
    """

    row: int
    actual: int
    predicted: int
    probability: float
    lookalike: int | None


def worst_mistakes(
    faces: FaceSet, predictions: Predictions, experiment: str, count: int
) -> tuple[Mistake, ...]:
    """The `count` wrong answers of the kept model with the highest probability, highest first."""
    probabilities = predictions.probabilities(experiment).max(axis=1)
    predicted = predictions.predicted(experiment)
    wrong = [index for index, right in enumerate(predictions.correct(experiment)[0]) if not right]
    wrong.sort(key=lambda index: -probabilities[index])  # stable: ties stay in dataset order
    return tuple(
        Mistake(
            row=int(predictions.rows[index]),
            actual=int(predictions.labels[index]),
            predicted=int(predicted[index]),
            probability=float(probabilities[index]),
            lookalike=_lookalike(faces, int(predictions.rows[index]), int(predicted[index])),
        )
        for index in wrong[:count]
    )


def _lookalike(faces: FaceSet, row: int, subject: int) -> int | None:
    """Row of `subject`'s training image nearest to image `row` in mean squared pixel distance."""
    candidates = faces.rows(Split.train)
    candidates = candidates[faces.labels[candidates] == subject]
    if not len(candidates):
        return None
    difference: Tensor = faces.images[candidates].float() - faces.images[row].float()
    return int(candidates[difference.square().mean(dim=(1, 2, 3)).argmin()])


def worst_subjects(scores: tuple[SubjectScore, ...], count: int) -> tuple[int, ...]:
    """Indices of the subjects with the lowest recall below 1, then F1; none without images."""
    found = [index for index, score in enumerate(scores) if score.images and score.recall < 1]
    return tuple(sorted(found, key=lambda index: (scores[index].recall, scores[index].f1))[:count])
