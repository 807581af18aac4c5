"""Synthetic faces: a function of their numbers, hard for pixels, quick to draw."""

from __future__ import annotations

import time
from dataclasses import fields, replace

import numpy as np
from sklearn.neighbors import NearestCentroid

from src.data.synthetic import render_source, render_subjects
from src.data.synthetic.render import render
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


def test_source_identities_are_no_targets_identities() -> None:
    rng = np.random.default_rng
    sources = {draw(Identity, rng((1, 1_000_000 + n))) for n in range(50)}
    targets = {draw(Identity, rng((1, n))) for n in range(50)}
    assert not sources & targets
    assert not np.array_equal(render_source(1, 2, 32, 1), render_subjects(1, 2, 32, 1))


def test_raw_pixels_name_fewer_than_forty_percent() -> None:
    images = render_subjects(20, 35, 64, seed=1).reshape(20, 35, -1) / 255
    labels = np.arange(20)
    train, test = images[:, :20].reshape(400, -1), images[:, 20:].reshape(300, -1)
    centroids = NearestCentroid().fit(train, labels.repeat(20))
    accuracy = centroids.score(test, labels.repeat(15))
    assert 0.05 < accuracy < 0.40


def test_at_least_eight_nuisances_change_the_picture_of_the_same_face() -> None:
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


def test_five_thousand_faces_would_take_under_a_minute_of_two_cores() -> None:
    render_subjects(1, 2, 64, seed=0)
    started = time.process_time()
    render_subjects(6, 20, 64, seed=0)
    seconds = time.process_time() - started
    assert seconds / 120 * 5000 < 2 * 60
