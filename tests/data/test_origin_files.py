"""Origin files are opened, or refused naming the invalid key."""

from __future__ import annotations

import os
from pathlib import Path

import joblib
import numpy as np
import pytest
import scipy.io
from numpy.typing import NDArray
from sklearn.datasets import _lfw, _olivetti_faces, fetch_lfw_people

from src.data.faceset import Split
from src.data.origins import open_origin
from src.data.origins.scikit_learn import Lfw, Olivetti
from src.data.pack import pack
from src.errors import ConfigError, OriginError
from src.files import digest
from tests.data.conftest import encoded, noise, settings, write_folder, write_tar


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


def write_faces(home: Path, monkeypatch: pytest.MonkeyPatch) -> NDArray[np.uint8]:
    """Made-up faces in the form of the published file, and its checksum in place of that one's."""
    faces = np.random.default_rng(0).integers(0, 256, (4096, 400), dtype=np.uint8)
    faces[:2, 0] = 0, 255
    scipy.io.savemat(home / "olivettifaces.mat", {"faces": faces})
    monkeypatch.setattr(Olivetti, "sha256", digest(home / "olivettifaces.mat", "sha256"))
    return faces


def test_a_download_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    origin = origin_file(tmp_path, f"kind: olivetti\ndata_home: {tmp_path / 'file'}")
    with pytest.raises(OriginError, match="data_home cannot be made"):
        open_origin(settings(origin))


def test_olivetti_is_read_from_the_published_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faces = write_faces(tmp_path, monkeypatch)
    origin = open_origin(settings(origin_file(tmp_path, f"kind: olivetti\n{offline(tmp_path)}")))
    assert len(origin.entries) == 400
    assert len({entry.subject for entry in origin.entries}) == 40
    contents = [content for _, content in origin.read()]
    assert np.array_equal(contents[1], faces[:, 1].reshape(64, 64).T)


def test_an_olivetti_file_that_was_not_published_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = origin_file(tmp_path, f"kind: olivetti\n{offline(tmp_path)}")
    scipy.io.savemat(tmp_path / "olivettifaces.mat", {"faces": np.zeros((4096, 400))})
    with pytest.raises(OriginError, match=r"olivettifaces\.mat is not the published file"):
        open_origin(settings(path))


def test_scikit_learn_expects_the_same_files() -> None:
    assert Olivetti.sha256 == _olivetti_faces.FACES.checksum
    published = {True: _lfw.FUNNELED_ARCHIVE, False: _lfw.ARCHIVE}
    assert {key: file.checksum for key, file in published.items()} == Lfw.sha256s


class Malice:
    """Runs a command when it is unpickled."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.proof}",)


@pytest.mark.parametrize("name", ["olivetti_py3.pkz", "olivetti.pkz"])
def test_a_pickle_that_scikit_learn_would_load_is_never_loaded(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    joblib.dump(Malice(tmp_path / "proof"), tmp_path / name)
    path = origin_file(tmp_path, f"kind: olivetti\n{offline(tmp_path)}")
    with pytest.raises(OriginError, match=r"olivettifaces\.mat is missing"):
        open_origin(settings(path))
    write_faces(tmp_path, monkeypatch)
    assert len(list(open_origin(settings(path)).read())) == 400
    assert not (tmp_path / "proof").exists()


def lfw_files() -> dict[str, bytes]:
    return {
        f"Some_Person{person}/Some_Person{person}_{number:04}.jpg": encoded(
            noise(10 * person + number, 250), "JPEG"
        )
        for person in range(2)
        for number in range(1, 5 - person)
    }


def test_a_result_that_scikit_learn_kept_of_lfw_is_never_loaded(tmp_path: Path) -> None:
    write_folder(tmp_path / "lfw_home/lfw_funneled", lfw_files())
    for name in ("pairsDevTrain.txt", "pairsDevTest.txt", "pairs.txt"):
        (tmp_path / "lfw_home" / name).write_text("")
    # What scikit-learn itself keeps, replaced in place.
    options = {"color": True, "resize": None, "min_faces_per_person": 3}
    fetch_lfw_people(data_home=tmp_path, download_if_missing=False, **options)
    (kept,) = (tmp_path / "lfw_home/joblib").rglob("output.pkl")
    joblib.dump(Malice(tmp_path / "proof"), kept)
    text = f"kind: lfw\n{offline(tmp_path)}min_faces_per_person: 3\n"
    assert len(pack(settings(origin_file(tmp_path, text)), seed=0).faces) == 7
    assert not (tmp_path / "proof").exists()


@pytest.mark.parametrize("unpacked", [True, False])
def test_lfw_is_read_from_its_folder_or_its_archive(
    tmp_path: Path, unpacked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "lfw_home"
    files = {f"lfw_funneled/{name}": content for name, content in lfw_files().items()}
    if unpacked:
        write_folder(home, files)
    else:
        home.mkdir()
        archive = write_tar(home / "lfw-funneled.tgz", files | {"lfw_funneled/pairs_01.txt": b""})
        monkeypatch.setattr(Lfw, "sha256s", {True: digest(archive, "sha256")})
    text = f"kind: lfw\n{offline(tmp_path)}min_faces_per_person: "
    faces = pack(settings(origin_file(tmp_path, f"{text}3\n")), seed=0).faces
    assert faces.subjects == ("Some Person0", "Some Person1")
    assert len(faces) == 7
    for least in (4, 9):
        with pytest.raises(OriginError, match="fewer than two subjects"):
            pack(settings(origin_file(tmp_path, f"{text}{least}\n")), seed=0)


def test_lfw_is_read_from_its_archive_even_beside_a_folder_that_may_have_been_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = write_folder(tmp_path / "lfw_home", {"lfw_funneled/A/1.jpg": b""})
    files = {f"lfw_funneled/{name}": content for name, content in lfw_files().items()}
    archive = write_tar(home / "lfw-funneled.tgz", files)
    path = origin_file(tmp_path, f"kind: lfw\n{offline(tmp_path)}min_faces_per_person: 3\n")
    with pytest.raises(OriginError, match=r"lfw-funneled\.tgz is not the published file"):
        open_origin(settings(path))
    monkeypatch.setattr(Lfw, "sha256s", {True: digest(archive, "sha256")})
    assert len(open_origin(settings(path)).entries) == 7


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
            "colour is not a key of olivetti; use kind, licence, data_home",
        ),
    ],
)
def test_an_invalid_origin_file_is_refused_naming_the_key(
    tmp_path: Path, text: str, said: str
) -> None:
    with pytest.raises(ConfigError, match=r"origin\.yaml") as caught:
        open_origin(settings(origin_file(tmp_path, text)))
    assert said in str(caught.value) and "\n" not in str(caught.value)
