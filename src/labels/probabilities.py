"""Probabilities of training and validation images by classifiers that were not fitted on them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from src.errors import ConfigError, StaleInputError
from src.evaluation.probe import out_of_fold
from src.files import digest, read_rows
from src.progress import tracked

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from src.data.faceset import FaceSet
    from src.training.features import Features

EMBED = "run `dvc repro embed`"


@dataclass(frozen=True)
class Judged:
    """Training and validation images with what a classifier says that has not seen them.

    rows: (N,) int64, row numbers in the packed dataset. labels: (N,) int64, an index into the C
    subjects. probabilities: (N, C). by: what the classifiers are, in words.
    """

    rows: NDArray[np.int64]
    labels: NDArray[np.int64]
    probabilities: NDArray[np.floating]
    by: str

    @property
    def agreement(self) -> float:
        """The share of the images of which the likeliest subject is the given one."""
        return float((self.probabilities.argmax(axis=1) == self.labels).mean())


def by_features(faces: FaceSet, features: Features, seed: int) -> Judged:
    """By logistic regressions on features, each image by one that was fitted on other folds.

    On those of the block whose classifiers agree with most labels; of several, the highest.
    """
    from src.data.faceset import Split

    rows = np.concatenate([faces.rows(split).numpy() for split in (Split.train, Split.val)])
    labels = faces.labels.numpy()[rows]
    judged = [
        Judged(rows, labels, out_of_fold(values, labels, seed), f"features of {name}")
        for name, values in tracked(
            unflipped(features), "classifying features", len(features.blocks)
        )
    ]
    return max(reversed(judged), key=lambda each: each.agreement)


def unflipped(features: Features) -> list[tuple[str, NDArray[np.float32]]]:
    """Each block's (N, D) features of training, then of validation images as they are."""
    return [
        (name, np.concatenate([block.values[0].numpy(), block.val_values[0].numpy()]))
        for name, block in features.blocks.items()
    ]


def by_crossvalidation(faces: FaceSet, experiment: str, path: Path) -> Judged:
    """By the networks of `python -m src.crossvalidate`, which each tested one fold.

    Raises StaleInputError where it did not see these labels, ConfigError where the experiment was
    not among its own.
    """
    import torch

    from src.data.faceset import Split
    from src.evaluation.predictions import Predictions

    again = "run `python -m src.crossvalidate`"
    if not path.is_file():
        raise StaleInputError(str(path), "no such file", again)
    found = Predictions.load(path)
    if experiment not in found.logits:
        mend = f"it has {', '.join(found.logits)}"
        raise ConfigError("--folds", f"{path} has no experiment {experiment}", mend)
    labels = faces.labels.numpy()
    same = len(found.rows) == len(labels) and np.array_equal(labels[found.rows], found.labels)
    if (
        not same
        or found.subjects != faces.subjects
        or found.images != faces.digest(torch.from_numpy(found.rows))
    ):
        raise StaleInputError(str(path), "made from other faces or labels", again)
    ours = faces.split.numpy()[found.rows] != Split.test.value
    probabilities = found.probabilities(experiment)[ours]
    by = f"networks of {experiment}"
    return Judged(found.rows[ours], found.labels[ours], probabilities, by)


def load_faces(path: Path) -> FaceSet:
    """The packed images; raises StaleInputError where there are none."""
    from src.data.faceset import FaceSet

    if not path.is_file():
        raise StaleInputError(str(path), "no such file", EMBED)
    return FaceSet.load(path)


def load_features(path: Path, faces: Path) -> Features:
    """The features of these packed images; raises StaleInputError where there are none."""
    from src.training.features import Features

    if not path.is_file():
        raise StaleInputError(str(path), "no such file", EMBED)
    features = Features.load(path)
    if features.provenance.faces != digest(faces):
        raise StaleInputError(str(path), f"not made from {faces}", EMBED)
    return features


def files_of(faces: FaceSet, manifest: Path) -> list[str]:
    """The file that each row of the packed dataset came from; raises StaleInputError."""
    rows = read_rows(manifest)
    named = [faces.subjects[label] for label in faces.labels.tolist()]
    if [row.get("subject") for row in rows] != named:
        raise StaleInputError(str(manifest), "of another dataset", "run `dvc repro dataset`")
    return [row["file"] for row in rows]
