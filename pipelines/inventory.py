"""What the stages after `dataset` and `weights` start from."""

from __future__ import annotations

from pipelines import paths
from src.data.faceset import FaceSet
from src.files import digest
from src.models.weights import SourceWeights
from src.training.fit import Inventory


def load_inventory() -> Inventory:
    """The packed faces and the source weights, with their files' digests."""
    return Inventory(
        FaceSet.load(paths.FACES),
        SourceWeights.load(paths.SOURCE),
        digest(paths.FACES),
        digest(paths.SOURCE),
    )
