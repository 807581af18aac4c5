"""The training faces that look most like a photo to the network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from src import paths
from src.data.faceset import FaceSet, Split
from src.errors import TrackingError
from src.files import digest
from src.models.classifier import BATCH, Classifier
from src.progress import tracked
from src.tracking.record import RunRecord


@dataclass(frozen=True)
class Neighbour:
    """A training face, (3, S, S) uint8, and one minus the cosine of its features with a photo's."""

    image: Tensor
    subject: str
    distance: float


@dataclass(frozen=True)
class TrainingFaces:
    """The faces that a network was trained on, with the features that its head reads of them."""

    faces: FaceSet
    rows: Tensor
    features: Tensor

    def nearest(self, features: Tensor, count: int) -> list[list[Neighbour]]:
        """For each of (N, D) features the nearest faces, nearest first."""
        cosines = F.normalize(features, dim=1) @ self.features.T
        best = cosines.topk(min(count, len(self.rows)), dim=1)
        return [
            [
                self._neighbour(int(self.rows[index]), 1 - cosine)
                for index, cosine in zip(indices.tolist(), values.tolist(), strict=True)
            ]
            for indices, values in zip(best.indices, best.values, strict=True)
        ]

    def _neighbour(self, row: int, distance: float) -> Neighbour:
        subject = self.faces.subjects[int(self.faces.labels[row])]
        return Neighbour(self.faces.images[row], subject, max(0.0, distance))


def training_faces(classifier: Classifier, project: Path) -> TrainingFaces | str:
    """The packed dataset's training faces, or in words why they are not those of this network.

    They are if a record of a run names the md5 of both the model file and the dataset.
    """
    packed = project / paths.FACES
    if not packed.is_file():
        return f"{paths.FACES} is not here"
    if classifier.path is None or not _belongs(packed, digest(classifier.path), project):
        return f"no record in {paths.RUNS}/ says that {paths.FACES} are what it was trained on"
    faces = FaceSet.load(packed)
    rows = faces.rows(Split.train)
    parts = tracked(torch.split(rows, BATCH), "reading training faces", -(-len(rows) // BATCH))
    features = [classifier.outputs(faces.images[part])[0] for part in parts]
    return TrainingFaces(faces, rows, F.normalize(torch.cat(features), dim=1))


def _belongs(packed: Path, model: str, project: Path) -> bool:
    md5 = digest(packed)
    for path in (project / paths.RUNS).glob("*.json"):
        try:
            record = RunRecord.read(path)
        except TrackingError:
            continue
        known, data = record.model, record.dataset
        if known and data and (known.md5, data.md5) == (model, md5):
            return True
    return False
