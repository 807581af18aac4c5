"""Answers come in order and with bounded memory, the same as for one photo at a time."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from src.models.classifier import Classifier
from src.prediction import stream
from src.prediction.stream import Prediction, answers
from tests.tracking.projects import Project


@pytest.fixture
def photos(project: Project) -> list[Path]:
    draw = np.random.default_rng(0).integers
    made = [Path(f"{number}.jpg") for number in range(70)]
    for path in made:
        Image.fromarray(draw(256, size=(40, 33, 3), dtype=np.uint8)).save(path)
    return made


def all_of(classifier: Classifier, photos: list[Path]) -> list[Prediction]:
    return [each for batch in answers(classifier, None, photos, 3) for each in batch.predictions]


def test_answers_come_in_order_and_equal_those_of_single_photos(
    project: Project, photos: list[Path]
) -> None:
    classifier = Classifier.load(project.model)
    found = all_of(classifier, photos)
    assert [each.photo for each in found] == [str(path) for path in photos]
    for photo, answer in zip(photos[::23], found[::23], strict=True):
        (alone,) = all_of(classifier, [photo])
        assert [subject for subject, _ in alone.subjects] == [name for name, _ in answer.subjects]
        shares = [share for _, share in answer.subjects]
        assert [share for _, share in alone.subjects] == pytest.approx(shares, abs=1e-5)


def test_only_a_few_batches_are_decoded_in_advance(project: Project, photos: list[Path]) -> None:
    asked = 0

    def endless() -> Iterator[Path]:
        nonlocal asked
        while True:
            asked += 1
            yield photos[0]

    batches = answers(Classifier.load(project.model), None, endless(), 3)
    for number, batch in enumerate(islice(batches, 3), 1):
        assert len(batch.predictions) == stream.BATCH
        assert asked <= (number + stream.AHEAD) * stream.BATCH + 1
    batches.close()  # type: ignore[attr-defined]


def test_batches_of_large_images_are_small(
    project: Project, photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("src.models.classifier.BATCH_PIXELS", 3 * 32**2 + 5)
    batches = answers(Classifier.load(project.model), None, photos[:7], 3)
    assert [len(batch.predictions) for batch in batches] == [3, 3, 1]


def test_broken_photos_are_in_the_batch_of_their_neighbours(
    project: Project, photos: list[Path]
) -> None:
    photos[1].write_bytes(photos[1].read_bytes()[:200])
    Path("text.jpg").write_text("text")
    given = [*photos[:3], Path("text.jpg"), Path("nul\0.jpg"), Path(), photos[3]]
    (batch,) = answers(Classifier.load(project.model), None, given, 3)
    assert [each.photo for each in batch.predictions] == ["0.jpg", "2.jpg", "3.jpg"]
    assert [each.where for each in batch.broken] == ["1.jpg", "text.jpg", r"nul\x00.jpg", "."]
