"""Photos in, names out: from a file, from the champion, and with one line where it cannot be."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from src.errors import ImageError, TrackingError
from src.files import digest
from src.models.classifier import Classifier
from src.models.network import load_state, save_network
from src.predict import main
from src.tracking.registry import champion_weights, promote
from tests.tracking.finished import finish_run
from tests.tracking.projects import Project


@pytest.fixture
def photos(project: Project) -> list[str]:
    """Two photos, one not square, of the size the network takes or larger."""
    pixels = np.random.default_rng(0).integers(0, 256, (48, 48, 3), np.uint8)
    Image.fromarray(pixels[:32, :32]).save("exact.png")
    Image.fromarray(pixels[:40]).save("wide.png")
    return ["exact.png", "wide.png"]


def test_a_model_file_names_each_photo(
    project: Project, photos: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    import torch

    main(["--model", str(project.model), "--json", *photos])
    answers = json.loads(capsys.readouterr().out)
    assert [answer["photo"] for answer in answers] == photos
    classifier = Classifier.load(project.model)
    image = torch.from_numpy(np.array(Image.open("exact.png"))).permute(2, 0, 1)[None]
    expected = classifier.probabilities(image)[0].tolist()
    given = {row["subject"]: row["probability"] for row in answers[0]["subjects"]}
    assert given == pytest.approx(dict(zip(classifier.subjects, expected, strict=True)), abs=1e-4)
    assert list(given.values()) == sorted(given.values(), reverse=True)


def test_photos_become_square_as_the_training_images_did(
    project: Project, photos: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    import torch

    state, spec = load_state(project.model)
    save_network(Path("stretched.safetensors"), state, replace(spec, fit="stretch"))
    main(["--model", "stretched.safetensors", "--json", "wide.png"])
    (answer,) = json.loads(capsys.readouterr().out)
    classifier = Classifier.load(project.model)
    size = (classifier.image_size, classifier.image_size)
    pixels = np.array(Image.open("wide.png").resize(size, Image.Resampling.BICUBIC))
    image = torch.from_numpy(pixels).permute(2, 0, 1)[None]
    expected = classifier.probabilities(image)[0].tolist()
    given = {row["subject"]: row["probability"] for row in answer["subjects"]}
    assert given == pytest.approx(dict(zip(classifier.subjects, expected, strict=True)), abs=1e-4)


def test_the_champion_answers_by_default(
    project: Project, photos: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    finish_run(project)
    promote(project.record, 0.5)
    assert digest(champion_weights()) == digest(project.model)
    main(["--top", "2", *photos])
    printed = capsys.readouterr().out
    assert "exact.png" in printed
    assert printed.count("%") == 4


def test_without_a_champion_the_error_names_the_mend(project: Project, photos: list[str]) -> None:
    with pytest.raises(TrackingError, match=r"^models:/face-classifier@champion: no champion yet"):
        main(photos)


@pytest.mark.parametrize(("content", "what"), [(None, "no such file"), (b"x", "not a picture")])
def test_a_bad_photo_is_named_and_nothing_is_printed(
    project: Project,
    photos: list[str],
    capsys: pytest.CaptureFixture[str],
    content: bytes | None,
    what: str,
) -> None:
    if content:
        Path("bad.jpg").write_bytes(content)
    with pytest.raises(ImageError, match=rf"^bad\.jpg: {what}"):
        main(["--model", str(project.model), *photos, "bad.jpg"])
    assert capsys.readouterr().out == ""


def test_the_command_exits_with_two_and_one_line(project: Project) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "src.predict", "--model", "none.safetensors", "none.jpg"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: none.safetensors: ")
    assert done.stderr.count("\n") == 1
