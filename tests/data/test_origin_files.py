"""Origin files are opened, or refused naming the invalid key."""

from __future__ import annotations

from pathlib import Path

import joblib
import numpy as np
import pytest
from PIL import Image

from src.data.faceset import Split
from src.data.origins import open_origin
from src.data.pack import pack
from src.errors import ConfigError, OriginError
from tests.data.conftest import noise, settings


def origin_file(folder: Path, text: str) -> Path:
    path = folder / "origin.yaml"
    path.write_text(text)
    return path


def offline(home: Path) -> str:
    return f"data_home: {home}\ndownload_if_missing: false\n"


def test_a_synthetic_origin_has_the_numbers_of_images_it_states(tmp_path: Path) -> None:
    text = "kind: synthetic\nsubjects: 3\ntrain_per_subject: 4\ntest_per_subject: 2\nseed: 1\n"
    faces = pack(settings(origin_file(tmp_path, text)), seed=0).faces
    assert len(faces.rows(Split.test)) == 6
    assert len(faces.rows(Split.train)) + len(faces.rows(Split.val)) == 12


def test_olivetti_is_read_from_the_cache_of_scikit_learn(tmp_path: Path) -> None:
    faces = np.random.default_rng(0).random((400, 4096), dtype=np.float32)
    joblib.dump(faces, tmp_path / "olivetti_py3.pkz")
    path = origin_file(tmp_path, f"kind: olivetti\n{offline(tmp_path)}")
    origin = open_origin(settings(path))
    assert len(origin.entries) == 400
    assert len({entry.subject for entry in origin.entries}) == 40
    _, content = next(iter(origin.read()))
    scaled = (faces - faces.min()) / (faces.max() - faces.min())
    expected = (scaled[0].reshape(64, 64).T * 255).round()
    assert np.abs(np.asarray(content, dtype=float) - expected).max() <= 1


def test_lfw_is_read_from_the_folders_of_scikit_learn(tmp_path: Path) -> None:
    home = tmp_path / "lfw_home/lfw_funneled"
    for person in range(2):
        name = f"Some_Person{person}"
        (home / name).mkdir(parents=True)
        for number in range(1, 5):
            pixels = noise(10 * person + number, 250)
            Image.fromarray(pixels).save(home / name / f"{name}_{number:04}.jpg")
    for name in ("pairsDevTrain.txt", "pairsDevTest.txt", "pairs.txt"):
        (tmp_path / "lfw_home" / name).write_text("")
    text = f"kind: lfw\n{offline(tmp_path)}min_faces_per_person: 3\n"
    faces = pack(settings(origin_file(tmp_path, text)), seed=0).faces
    assert faces.subjects == ("Some Person0", "Some Person1")
    assert len(faces) == 8


def test_a_download_that_fails_says_what_to_do(tmp_path: Path) -> None:
    path = origin_file(tmp_path, f"kind: olivetti\n{offline(tmp_path)}")
    with pytest.raises(OriginError, match="set data_home to where it is"):
        open_origin(settings(path))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kind: imaginary\n", "'imaginary'; use one of cars196, cifar10, "),
        ("- a list\n", "is None"),
        ("kind: [synthetic]\n", "use one of"),
        ("kind: synthetic\nsubjects: 3\n", "train_per_subject: is required"),
        (
            "kind: synthetic\nsubjects: 1\ntrain_per_subject: 4\ntest_per_subject: 2\nseed: 1\n",
            "subjects",
        ),
        (
            "kind: olivetti\ncolour: true\n",
            "colour is not a key of olivetti; use kind, data_home",
        ),
    ],
)
def test_an_invalid_origin_file_is_refused_naming_the_key(
    tmp_path: Path, text: str, said: str
) -> None:
    with pytest.raises(ConfigError, match=r"origin\.yaml") as caught:
        open_origin(settings(origin_file(tmp_path, text)))
    assert said in str(caught.value) and "\n" not in str(caught.value)
