"""Which images each fold's network is tested on, chosen by and trained on.

All images take part, whatever split the dataset gave them. Near-duplicates share a fold, and within
it a side of the line between training and validation: a network that has seen an image's duplicate
has seen the image.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from src.config import Params
from src.data.faceset import FaceSet, Split
from src.errors import ConfigError, OriginError
from src.plotting import to_hwc

if TYPE_CHECKING:
    from torch import Tensor

LEAST = 3  # folds; with two, half of the images would be all that there is to train on


def make_folds(faces: FaceSet, folds: int, params: Params) -> tuple[FaceSet, ...]:
    """The same images once per fold, with the fold's part as the test split.

    Folds are stratified by subject. About `data.val_fraction` of what is left, rounded to one in n
    and at most half, is the validation split, also stratified, but a subject's last images stay in
    training. Images that are at most `data.audit.near_distance` bits apart are in the same split of
    every fold. Raises ConfigError for too few folds, OriginError for a subject with fewer distinct
    images than folds.
    """
    import torch

    check_count(folds)
    data = params.data
    groups = near_duplicates(faces.images, data.audit.near_distance)
    labels: NDArray[np.int64] = faces.labels.numpy()
    _check_counts(data.origin, faces.subjects, labels, groups, folds)
    return tuple(
        replace(faces, split=torch.from_numpy(split))
        for split in _splits(labels, groups, folds, data.val_fraction, params.seed)
    )


def check_count(folds: int) -> None:
    """Raise ConfigError for too few folds."""
    if folds < LEAST:
        raise ConfigError("--folds", f"is below {LEAST}", f"give {LEAST} or more")


def near_duplicates(images: Tensor, distance: int) -> NDArray[np.int64]:
    """(N,) the number of each image's group: of those linked by pairs the audit would report."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    from src.data.audit import near_pairs, perceptual_hash

    count = len(images)
    hashes = np.array([perceptual_hash(to_hwc(image)) for image in images], dtype=np.uint64)
    pairs = [(one, other) for one, other, _ in near_pairs(hashes, np.arange(count), distance)]
    ones, others = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    links = coo_array((np.ones(len(ones)), (ones, others)), shape=(count, count))
    groups: NDArray[np.int64] = connected_components(links, directed=False)[1].astype(np.int64)
    return groups


def _splits(
    labels: NDArray[np.int64],
    groups: NDArray[np.int64],
    folds: int,
    val_fraction: float,
    seed: int,
) -> Iterator[NDArray[np.uint8]]:
    """(N,) uint8, a `Split` for each image, once per fold."""
    for rest, test in _stratified(labels, groups, folds, seed):
        split = np.full(len(labels), Split.train, dtype=np.uint8)
        split[test] = Split.test
        split[rest[_validation(labels[rest], groups[rest], val_fraction, seed)]] = Split.val
        yield split


def _validation(
    labels: NDArray[np.int64], groups: NDArray[np.int64], val_fraction: float, seed: int
) -> NDArray[np.int64]:
    """Positions of about `val_fraction` of the images, none of them the last of its subject."""
    parts = min(max(2, round(1 / val_fraction)), int(np.bincount(labels).max()))
    with warnings.catch_warnings():  # of a subject with fewer images than parts, which may be
        warnings.simplefilter("ignore", UserWarning)
        training, validation = next(_stratified(labels, groups, parts, seed))
    kept: NDArray[np.int64] = validation[np.isin(labels[validation], labels[training])]
    return kept


def _stratified(
    labels: NDArray[np.int64], groups: NDArray[np.int64], parts: int, seed: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    from sklearn.model_selection import StratifiedGroupKFold

    splitter = StratifiedGroupKFold(parts, shuffle=True, random_state=seed)
    yield from splitter.split(labels, labels, groups)


def _check_counts(
    where: str,
    subjects: tuple[str, ...],
    labels: NDArray[np.int64],
    groups: NDArray[np.int64],
    folds: int,
) -> None:
    for label, subject in enumerate(subjects):
        distinct = len(np.unique(groups[labels == label]))
        if distinct < folds:
            images = "1 distinct image" if distinct == 1 else f"{distinct} distinct images"
            fewer = f", or use --folds {distinct}" if distinct >= LEAST else ""
            raise OriginError(
                f"{where}: {subject}",
                f"has {images}, fewer than the {folds} folds",
                f"give it more images or remove it{fewer}",
            )
