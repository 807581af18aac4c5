"""Synthetic faces depend only on their numbers, and raw pixels hardly tell them apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.neighbors import NearestCentroid

from src.data.streams import FIRST_SOURCE
from src.data.synthetic.render import render, render_subjects
from src.data.synthetic.traits import Identity, View, draw


def test_the_same_numbers_give_the_same_bytes() -> None:
    assert np.array_equal(render_subjects(2, 3, 32, seed=5), render_subjects(2, 3, 32, seed=5))
    assert not np.array_equal(render_subjects(2, 3, 32, seed=5), render_subjects(2, 3, 32, seed=6))


def test_a_smaller_set_is_part_of_a_larger_one() -> None:
    small = render_subjects(2, 3, 32, seed=5).reshape(2, 3, 32, 32, 3)
    large = render_subjects(3, 5, 32, seed=5).reshape(3, 5, 32, 32, 3)
    assert np.array_equal(small, large[:2, :3])
    later = render_subjects(1, 5, 32, seed=5, first_subject=2)
    assert np.array_equal(later, large[2])


Drawn = list[tuple[Identity, View]]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Drawn]:
    """Record the identity and view of each image of a call, without rendering any."""

    def record(render: Callable[..., object], *numbers: int) -> Drawn:
        shown: Drawn = []

        def note(who: Identity, view: View, size: int) -> NDArray[np.uint8]:
            shown.append((who, view))
            return np.zeros((size, size, 3), np.uint8)

        monkeypatch.setattr("src.data.synthetic.render.render", note)
        render(*numbers)
        return shown

    return record


def places(traits: list[Identity] | list[View]) -> NDArray[np.float64]:
    """(traits, subjects): the position of each trait within the range it is drawn from."""
    ranges = {f.name: f.metadata["range"] for f in fields(traits[0]) if "range" in f.metadata}
    low, high = np.array(list(ranges.values())).T
    values = np.array([[getattr(each, name) for name in ranges] for each in traits])
    return ((values - low) / (high - low)).T


def test_a_subjects_first_view_says_nothing_about_who_it_is(drawn: Callable[..., Drawn]) -> None:
    shown = drawn(render_subjects, 400, 1, 16, 1)
    who, view = (places(list(each)) for each in zip(*shown, strict=True))  # type: ignore[arg-type]
    correlations = np.corrcoef(who, view)[: len(who), len(who) :]
    assert np.abs(correlations).max() < 0.25  # 5 standard deviations of what chance gives


def test_every_image_has_an_identity_and_a_view_of_its_own_subject_and_number(
    drawn: Callable[..., Drawn],
) -> None:
    shown = [pair for seed in range(4) for pair in drawn(render_subjects, 6, 5, 16, seed)]
    assert len({who for who, _ in shown}) == len({who.marks for who, _ in shown}) == 4 * 6
    assert len({view for _, view in shown}) == len({view.scene for _, view in shown}) == 4 * 6 * 5
    for subject in range(0, len(shown), 5):
        assert len({who for who, _ in shown[subject : subject + 5]}) == 1


def test_source_subjects_share_no_trait_with_target_subjects(drawn: Callable[..., Drawn]) -> None:
    sources = drawn(render_subjects, 200, 2, 16, 1, FIRST_SOURCE)
    targets = drawn(render_subjects, 200, 2, 16, 1)
    for trait in ("width", "marks"):
        mine, theirs = ({getattr(who, trait) for who, _ in shown} for shown in (sources, targets))
        assert len(mine) == len(theirs) == 200
        assert not mine & theirs
    assert not {view for _, view in sources} & {view for _, view in targets}


def test_freckles_belong_to_the_subject_and_not_to_the_width_of_the_head() -> None:
    one = replace(draw(Identity, np.random.default_rng(3)), freckles=1.0, moles=3.0)
    other = replace(one, marks=one.marks + 1)
    assert not np.array_equal(render(one, View(), 64), render(other, View(), 64))
    wider = replace(one, width=one.width + 1e-6)
    apart = np.abs(render(one, View(), 64).astype(int) - render(wider, View(), 64))
    assert apart.max() <= 1


def test_rendering_never_divides_by_zero_or_overflows() -> None:
    with np.errstate(divide="raise", invalid="raise", over="raise"):
        render_subjects(60, 5, 32, seed=7)
        render_subjects(4, 5, 32, seed=7, difficulty=2.0)


def test_nearest_centroids_of_pixels_classify_less_than_forty_percent() -> None:
    images = render_subjects(20, 35, 64, seed=1).reshape(20, 35, -1) / 255
    labels = np.arange(20)
    train, test = images[:, :20].reshape(400, -1), images[:, 20:].reshape(300, -1)
    centroids = NearestCentroid().fit(train, labels.repeat(20))
    accuracy = centroids.score(test, labels.repeat(15))
    assert 0.05 < accuracy < 0.40


def test_at_least_eight_nuisances_change_the_image_of_a_face() -> None:
    who = draw(Identity, np.random.default_rng(3))
    neutral = render(who, View(), 64).astype(int)
    changing = set()
    for field in fields(View):
        low, high = field.metadata.get("range", (0, 1))
        if any(
            np.abs(render(who, replace(View(), **{field.name: value}), 64) - neutral).mean() > 0.5
            for value in (low, high)
            if field.name != "scene"
        ):
            changing.add(field.name)
    assert len(changing) >= 8, changing
