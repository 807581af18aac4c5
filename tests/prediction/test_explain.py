"""Explanations open as images, differ by what they explain, and name the nearest training faces."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from src.data.faceset import FaceSet
from src.models.classifier import Classifier
from src.models.network import load_state, save_network
from src.predict import main
from src.prediction.explain import SIDE, explanation
from src.prediction.neighbours import TrainingFaces, training_faces
from src.prediction.stream import Prediction
from src.tensors import load_tensors
from tests.tracking.finished import finish_run
from tests.tracking.projects import Project

MODEL = ("--model", "models/ModelA.safetensors")


@pytest.fixture
def photo(project: Project) -> str:
    """The first training face, as a file."""
    Path("in").mkdir()
    pixels = FaceSet.load(project.faces).images[0].permute(1, 2, 0).numpy()
    Image.fromarray(pixels).save("in/ann.png")
    return "in/ann.png"


def opened(path: str) -> Image.Image:
    with Image.open(path) as image:
        image.load()
        return image


def test_with_the_training_faces_the_nearest_stand_beside_the_photo(
    project: Project, photo: str, capsys: pytest.CaptureFixture[str]
) -> None:
    finish_run(project)
    assert main([*MODEL, "--json", "--explain", "out", photo]) == 0
    assert "note:" not in capsys.readouterr().err
    image = opened("out/ann.png.explained.png")
    assert image.width > 5 * SIDE and image.mode == "RGB"
    classifier, faces = Classifier.load(project.model), FaceSet.load(project.faces)
    training = training_faces(classifier, Path.cwd())
    assert isinstance(training, TrainingFaces)
    features = classifier.outputs(faces.images[:1])[0]
    (nearest,) = training.nearest(features, 9)
    assert len(nearest) == 3  # all that are for training
    assert nearest[0].distance == pytest.approx(0, abs=1e-5)
    assert torch.equal(nearest[0].image, faces.images[0]) and nearest[0].subject == "ann"
    others = classifier.outputs(faces.images[:3])[0].double()
    products, lengths = others @ features.double()[0], others.norm(dim=1) * features.double().norm()
    expected = sorted((1 - products / lengths).tolist())
    assert [each.distance for each in nearest] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("missing", ["faces", "record", "other faces", "other model"])
def test_without_the_training_faces_a_note_says_why(
    project: Project, photo: str, capsys: pytest.CaptureFixture[str], missing: str
) -> None:
    finish_run(project)
    model = "models/ModelA.safetensors"
    if missing == "faces":
        project.faces.unlink()
    elif missing == "record":
        project.record.unlink()
    elif missing == "other faces":
        faces = FaceSet.load(project.faces)
        replace(faces, images=255 - faces.images).save(project.faces)
    else:
        state, spec = load_state(project.model)
        save_network(Path(model := "own.safetensors"), state, replace(spec, fit="pad"))
    assert main(["--model", model, "--explain", "out", photo]) == 0
    line = capsys.readouterr().err
    assert line.startswith("note: explained without the nearest training faces: ")
    assert line.count("\n") == 1
    assert opened("out/ann.png.explained.png").width < 3 * SIDE


def test_explanations_differ_by_subject_and_by_map() -> None:
    face = torch.full((3, 32, 32), 128, dtype=torch.uint8)
    warm = torch.zeros(32, 32)
    warm[:16] = 1
    answers = [Prediction("a.jpg", ((name, 0.5),), False, None) for name in ("ann", "bob")]
    made = [
        np.asarray(explanation(face, answer, heat, ()))
        for answer in answers
        for heat in (warm, warm.flip(0))
    ]
    assert len({image.tobytes() for image in made}) == 4


def test_equal_names_of_photos_get_an_image_each_and_photos_stay(
    project: Project, photo: str
) -> None:
    Path("in/more").mkdir()
    Image.new("RGB", (40, 40), "sienna").save("in/more/ann.png")
    before = Path(photo).read_bytes()
    for _ in range(2):  # the second time, explanations are among the photos' folder and no photos
        assert main([*MODEL, "--explain", "in", "in"]) == 0
    made = sorted(path.name for path in Path("in").glob("*.explained.png"))
    assert made == ["ann.png.2.explained.png", "ann.png.explained.png"]
    assert Path(photo).read_bytes() == before
    assert opened(f"in/{made[0]}").tobytes() != opened(f"in/{made[1]}").tobytes()


def test_names_are_shown_within_their_image(project: Project, photo: str) -> None:
    state, spec = load_state(project.model)
    names = ("x" * 300, "\x1b[2Jname", "名前")
    save_network(Path("named.safetensors"), state, replace(spec, subjects=names))
    longest = f"{'名' * 83}.png"
    Path(photo).rename(longest)
    assert main(["--model", "named.safetensors", "--explain", "out", longest]) == 0
    (made,) = Path("out").iterdir()
    assert opened(str(made)).width < 3 * SIDE


def test_explaining_changes_no_answer_and_no_weight(
    project: Project, photo: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = load_tensors(project.model)[0]
    main([*MODEL, "--csv", photo])
    plain = capsys.readouterr().out
    main([*MODEL, "--csv", "--explain", "out", photo])
    assert capsys.readouterr().out == plain
    after = load_tensors(project.model)[0]
    assert all(torch.equal(before[name], after[name]) for name in before)
