"""Every image is tested once, by a network that has seen neither it nor its duplicate."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.model_selection import StratifiedKFold

from src.config import Params
from src.crossvalidate.folds import _stratified, _validation, make_folds, near_duplicates
from src.data.faceset import FaceSet, Split
from src.errors import ConfigError, OriginError


def with_copies(faces: FaceSet, rows: list[int], brighter: int) -> FaceSet:
    """The faces and copies of some of them, a little brighter."""
    copies = faces.images[rows].int().add(brighter).clamp(0, 255).to(torch.uint8)
    return FaceSet(
        torch.cat([faces.images, copies]),
        torch.cat([faces.labels, faces.labels[rows]]),
        torch.cat([faces.split, faces.split[rows]]),
        faces.subjects,
    )


def test_every_image_is_tested_once_whatever_its_split(rendered: FaceSet, params: Params) -> None:
    folds = make_folds(rendered, 3, params)
    tested = torch.cat([fold.rows(Split.test) for fold in folds])
    assert sorted(tested.tolist()) == list(range(len(rendered)))


def test_each_fold_trains_and_chooses_on_other_images_of_every_subject(
    rendered: FaceSet, params: Params
) -> None:
    for fold in make_folds(rendered, 3, params):
        training, validation = (fold.part(split)[1] for split in (Split.train, Split.val))
        assert set(training.tolist()) == {0, 1, 2, 3}
        rest = len(training) + len(validation)
        assert rest == len(rendered) - len(fold.rows(Split.test))
        assert len(validation) == pytest.approx(params.data.val_fraction * rest, abs=2)


def test_folds_of_distinct_images_are_as_balanced_as_stratified_ones(
    rendered: FaceSet, params: Params
) -> None:
    labels = rendered.labels.numpy()
    stratified = StratifiedKFold(3, shuffle=True, random_state=0).split(labels, labels)
    expected = sorted(tuple(rendered.labels[test].bincount().tolist()) for _, test in stratified)
    found = [fold.part(Split.test)[1].bincount() for fold in make_folds(rendered, 3, params)]
    assert sorted(tuple(counts.tolist()) for counts in found) == expected


def test_a_subject_whose_last_images_are_duplicates_of_each_other_keeps_them_for_training() -> None:
    labels, groups = np.array([0, 0, 0, 1, 1, 1, 1, 1, 1]), np.array([0, 0, 0, 1, 2, 3, 4, 5, 6])
    held = [next(_stratified(labels, groups, 2, seed))[1] for seed in range(10)]
    assert any(0 in labels[rows] for rows in held), "as scikit-learn alone would have it"
    for seed in range(10):
        rows = _validation(labels, groups, 0.5, seed)
        assert len(rows) and 0 not in labels[rows]


@pytest.mark.parametrize("brighter", [0, 6], ids=["the same pixels", "nearly the same"])
def test_a_duplicate_is_in_the_split_of_its_original_in_every_fold(
    rendered: FaceSet, params: Params, brighter: int
) -> None:
    originals = [0, 5, 10, 20, 30]
    faces = with_copies(rendered, originals, brighter)
    copies = range(len(rendered), len(faces))
    for fold in make_folds(faces, 3, params):
        assert fold.split[originals].tolist() == fold.split[list(copies)].tolist()


def test_duplicates_of_duplicates_are_one_group(rendered: FaceSet) -> None:
    faces = with_copies(with_copies(rendered, [0], 0), [0], 0)
    groups = near_duplicates(faces.images, 0)
    assert len({groups[0], *groups[len(rendered) :]}) == 1
    assert len(set(groups.tolist())) == len(rendered)


def test_the_seed_decides_the_folds(rendered: FaceSet, params: Params) -> None:
    def splits(seed: int) -> list[list[int]]:
        drawn = make_folds(rendered, 3, params.model_copy(update={"seed": seed}))
        return [fold.split.tolist() for fold in drawn]

    assert splits(1) == splits(1) != splits(2)


def test_a_subject_with_fewer_images_than_folds_is_refused_by_name(
    rendered: FaceSet, params: Params
) -> None:
    kept = torch.tensor([row for row in range(len(rendered)) if row not in range(9, 14)])
    faces = FaceSet(
        rendered.images[kept], rendered.labels[kept], rendered.split[kept], ("a", "bea", "c", "d")
    )
    with pytest.raises(OriginError, match=r"bea: has 4 distinct images.*use --folds 4") as error:
        make_folds(faces, 5, params)
    assert len(str(error.value).splitlines()) == 1
    assert len(make_folds(faces, 4, params)) == 4


def test_copies_do_not_count_as_images(rendered: FaceSet, params: Params) -> None:
    images = rendered.images.clone()
    images[1:9] = images[0]
    with pytest.raises(OriginError, match="a: has 1 distinct image, fewer than the 3 folds"):
        make_folds(replace(rendered, images=images), 3, params)


def test_two_folds_are_refused(rendered: FaceSet, params: Params) -> None:
    with pytest.raises(ConfigError, match="--folds: is below 3"):
        make_folds(rendered, 2, params)
