"""Small public datasets in the layout in which their authors publish them."""

from __future__ import annotations

import gzip
import json
import os
import pickle
import tarfile
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io

from src.data.entries import Entry, Origin
from src.data.faceset import Split
from src.data.origins import open_origin
from src.data.origins.public import HotDog
from src.data.pack import pack
from src.errors import ConfigError, OriginError
from src.files import digest
from tests.data.conftest import encoded, noise, settings, write_folder, write_tar, write_zip

EACH = {"train": 4, "test": 2}


def origin_file(folder: Path, kind: str, path: Path, extra: str = "verify: false") -> Path:
    file = folder / "origin.yaml"
    file.write_text(f"kind: {kind}\npath: {path}\n{extra}\n")
    return file


def photo(seed: int) -> bytes:
    return encoded(noise(seed), "JPEG")


def hotdog(folder: Path) -> Path:
    files, seed = {}, 0
    for split, each in EACH.items():
        for name in ("hotdog", "not-hotdog"):
            for number in range(each):
                files[f"hotdog/{split}/{name}/{number}.png"] = encoded(noise(seed := seed + 1))
    return write_zip(folder / "hotdog.zip", files)


BIRDS = ("001.Black_footed_Albatross", "002.Laysan_Albatross", "003.Sooty_Albatross")


def cub(folder: Path) -> Path:
    lists: dict[str, list[str]] = {"images": [], "image_class_labels": [], "train_test_split": []}
    files: dict[str, bytes] = {"attributes.txt": b"1 has_bill_shape::curved\n"}
    number = 0
    for label, bird in enumerate(BIRDS, 1):
        for place in range(6):
            number += 1
            name = f"{bird}/{bird[4:]}_{place:04}_{number}.jpg"
            lists["images"].append(f"{number} {name}")
            lists["image_class_labels"].append(f"{number} {label}")
            lists["train_test_split"].append(f"{number} {int(place < EACH['train'])}")
            files[f"CUB_200_2011/images/{name}"] = photo(number)
    lists["classes"] = [f"{label} {bird}" for label, bird in enumerate(BIRDS, 1)]
    for key, lines in lists.items():
        files[f"CUB_200_2011/{key}.txt"] = ("\n".join(lines) + "\n").encode()
    return write_tar(folder / "CUB_200_2011.tgz", files)


def cars(folder: Path) -> Path:
    base, names = folder / "stanford_cars", ["AM General Hummer SUV 2000", "Acura RL Sedan 2012"]
    fields = ["bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2", "class", "fname"]
    (base / "devkit").mkdir(parents=True)
    classes = np.array(names, dtype=object)[None]
    scipy.io.savemat(base / "devkit/cars_meta.mat", {"class_names": classes})
    where = {"train": "devkit/cars_train_annos.mat", "test": "cars_test_annos_withlabels.mat"}
    seed = count()
    for split, each in EACH.items():
        rows = [(1, 1, 9, 9, 1 + n % 2, f"{n + 1:05}.jpg") for n in range(2 * each)]
        annotations = np.array(rows, dtype=[(field, object) for field in fields])[None]
        scipy.io.savemat(base / where[split], {"annotations": annotations})
        photos = {f"cars_{split}/{row[-1]}": photo(next(seed)) for row in rows}
        write_folder(base, photos)
    return folder


def food(folder: Path) -> Path:
    base, names = folder / "food-101", ("apple_pie", "baby_back_ribs")
    files: dict[str, bytes] = {"meta/classes.txt": "\n".join(names).encode()}
    seed = 0
    for split, each in EACH.items():
        listed: dict[str, list[str]] = {name: [] for name in names}
        for name in names:
            for _ in range(each):
                seed += 1
                listed[name].append(f"{name}/{seed:07}")
                files[f"images/{name}/{seed:07}.jpg"] = photo(seed)
        files[f"meta/{split}.json"] = json.dumps(listed).encode()
    write_folder(base, files)
    return folder


def counts(origin: Origin) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for entry in origin.entries:
        assert entry.split is not None
        by_split = found.setdefault(entry.subject, {"train": 0, "test": 0})
        by_split[entry.split.name] += 1
    return found


@pytest.mark.parametrize(
    ("kind", "write", "classes"),
    [
        ("hotdog", hotdog, ("hotdog", "not-hotdog")),
        ("cub200", cub, BIRDS),
        ("cars196", cars, ("AM General Hummer SUV 2000", "Acura RL Sedan 2012")),
        ("food101", food, ("apple_pie", "baby_back_ribs")),
    ],
)
def test_a_published_layout_gives_its_classes_split_and_images(
    kind: str, write: Callable[[Path], Path], classes: tuple[str, ...], tmp_path: Path
) -> None:
    path = origin_file(tmp_path, kind, write(tmp_path))
    origin = open_origin(settings(path))
    assert counts(origin) == dict.fromkeys(classes, EACH)
    assert [entry for entry, _ in origin.read()] == list(origin.entries)
    faces = pack(settings(path), seed=0).faces
    assert set(faces.subjects) == set(classes)
    assert len(faces.rows(Split.test)) == EACH["test"] * len(classes)


def cifar_files(folder: Path, kind: str) -> dict[str, Any]:
    """Write CIFAR's pickles; returns the attributes of torchvision's class that match them."""
    base = folder / ("cifar-10-batches-py" if kind == "cifar10" else "cifar-100-python")
    base.mkdir(parents=True)
    names = [f"thing_{number}" for number in range(3)]
    parts = {"cifar10": ("data_batch_1", "test_batch"), "cifar100": ("train", "test")}[kind]
    key = "labels" if kind == "cifar10" else "fine_labels"
    listed = []
    for file, each in zip(parts, EACH.values(), strict=True):
        labels = [label for label in range(3) for _ in range(each)]
        pixels = np.random.default_rng(each).integers(0, 256, (len(labels), 3072), dtype=np.uint8)
        (base / file).write_bytes(pickle.dumps({"data": pixels, key: labels}))
        listed.append([[file, digest(base / file, "md5")]])
    meta, label_key = {
        "cifar10": ("batches.meta", "label_names"),
        "cifar100": ("meta", "fine_label_names"),
    }[kind]
    (base / meta).write_bytes(pickle.dumps({label_key: names}))
    md5 = digest(base / meta, "md5")
    return {
        "train_list": listed[0],
        "test_list": listed[1],
        "meta": {"filename": meta, "key": label_key, "md5": md5},
    }


@pytest.mark.parametrize("kind", ["cifar10", "cifar100"])
def test_cifar_is_read_only_if_its_checksums_agree(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision import datasets

    path = origin_file(tmp_path, kind, tmp_path, "train_per_class: 3")
    expected = cifar_files(tmp_path, kind)
    with pytest.raises(OriginError, match="corrupted"):  # these are not the published pickles
        open_origin(settings(path))
    for name, value in expected.items():
        monkeypatch.setattr(getattr(datasets, kind.upper()), name, value)
    origin = open_origin(settings(path))
    assert counts(origin) == {f"thing_{n}": {"train": 3, "test": 2} for n in range(3)}
    first = next(iter(origin.read()))[1]
    assert isinstance(first, np.ndarray)
    assert first.shape == (32, 32, 3)


def test_a_limit_keeps_what_else_is_known_of_the_images(tmp_path: Path) -> None:
    entries = tuple(Entry(f"{n}.png", "pizza") for n in range(3))
    origin = Origin(entries, lambda: ((each, b"") for each in entries), ("soup",), "drawings")
    limited = HotDog(kind="hotdog", path=str(tmp_path), train_per_class=2).limit(origin)
    assert limited.entries == entries[:2]
    assert [entry for entry, _ in limited.read()] == list(entries[:2])
    assert (limited.empty, limited.style) == (("soup",), "drawings")


class Malice:
    """Runs a command when it is unpickled."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.proof}",)


@pytest.mark.parametrize("file", ["data_batch_1", "test_batch", "batches.meta"])
def test_a_pickle_in_place_of_one_of_cifar_is_never_loaded(
    tmp_path: Path, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision import datasets

    for name, value in cifar_files(tmp_path, "cifar10").items():
        monkeypatch.setattr(datasets.CIFAR10, name, value)
    malice = pickle.dumps(Malice(tmp_path / "proof"))
    (tmp_path / "cifar-10-batches-py" / file).write_bytes(malice)
    with pytest.raises(OriginError, match="corrupted"):
        open_origin(settings(origin_file(tmp_path, "cifar10", tmp_path)))
    assert not (tmp_path / "proof").exists()


def test_a_broken_or_huge_image_of_a_torchvision_dataset_is_a_finding(tmp_path: Path) -> None:
    images = food(tmp_path) / "food-101/images/apple_pie"
    (images / "0000001.jpg").write_bytes(b"broken")
    with (images / "0000002.jpg").open("wb") as file:
        file.truncate(10 * 2**30)
    broken, huge = pack(settings(origin_file(tmp_path, "food101", tmp_path)), seed=0).findings
    assert "not an image" in broken.note
    assert "more than data.max_bytes" in huge.note


@pytest.mark.parametrize("name", ["../../../secret", "/etc/secret", "apple_pie/missing"])
def test_a_list_of_images_that_leads_outside_or_nowhere_is_refused(
    tmp_path: Path, name: str
) -> None:
    base = food(tmp_path / "given") / "food-101"
    (tmp_path / "secret.jpg").write_bytes(photo(1))
    listed = json.loads((base / "meta/train.json").read_text())
    listed["apple_pie"][0] = name
    (base / "meta/train.json").write_text(json.dumps(listed))
    with pytest.raises(OriginError, match=r"leads outside|lacks an image"):
        pack(settings(origin_file(tmp_path, "food101", tmp_path / "given")), seed=0)


@pytest.mark.parametrize(("kind", "write"), [("hotdog", hotdog), ("cub200", cub)])
def test_an_archive_that_is_not_the_published_one_is_refused(
    kind: str, write: Callable[[Path], Path], tmp_path: Path
) -> None:
    path = origin_file(tmp_path, kind, write(tmp_path), "verify: true")
    with pytest.raises(OriginError, match="not the published file"):
        open_origin(settings(path))


@pytest.mark.parametrize("kind", ["hotdog", "cub200", "cars196", "food101", "cifar10"])
def test_a_missing_dataset_is_refused_on_one_line(kind: str, tmp_path: Path) -> None:
    with pytest.raises(OriginError) as refused:
        open_origin(settings(origin_file(tmp_path, kind, tmp_path / "nowhere")))
    assert "\n" not in str(refused.value)
    assert "path" in str(refused.value)


def test_a_broken_bird_archive_names_what_is_missing(tmp_path: Path) -> None:
    archive = write_tar(tmp_path / "CUB_200_2011.tgz", {"CUB_200_2011/images.txt": b"1 a.jpg\n"})
    with pytest.raises(OriginError, match=r"CUB_200_2011\.tgz"):
        open_origin(settings(origin_file(tmp_path, "cub200", archive)))


@pytest.mark.parametrize("cut", [0, 512])
def test_a_bird_archive_that_is_cut_or_has_an_absurd_member_is_refused(
    tmp_path: Path, cut: int
) -> None:
    archive = cub(tmp_path)
    whole = gzip.decompress(archive.read_bytes()).rstrip(b"\0")
    huge = tarfile.TarInfo("CUB_200_2011/huge.jpg")
    huge.size = 2**70
    whole += bytes(-len(whole) % 512) + huge.tobuf(tarfile.GNU_FORMAT) * (not cut)
    archive.write_bytes(gzip.compress(whole))
    with pytest.raises(OriginError, match="lacks its end" if cut else "not laid out"):
        open_origin(settings(origin_file(tmp_path, "cub200", archive)))


def test_an_unknown_dataset_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cub200"):
        open_origin(settings(origin_file(tmp_path, "cub201", tmp_path)))
