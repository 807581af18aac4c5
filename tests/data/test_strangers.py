"""Strangers come from an origin of their own or from the dataset, and are in it no longer."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from pathlib import Path

import pytest
import torch

from src.config import Data
from src.data.faceset import Split
from src.data.pack import PackedDataset, pack
from src.errors import OriginError
from tests.data.conftest import encoded, noise, subjects, write_folder
from tests.shipped import SHIPPED


@pytest.fixture
def data(tmp_path: Path) -> Data:
    """Settings of a folder of six subjects with six images each."""
    return Data(origin=str(write_folder(tmp_path / "faces", subjects("abcdef"))), image_size=32)


def others(folder: Path, names: Iterable[str] = "xyz") -> str:
    """A folder of strangers, whose images differ from those of `subjects`."""
    files = {
        f"{name}/{number}.png": encoded(noise(5000 + 100 * place + number))
        for place, name in enumerate(names)
        for number in range(2)
    }
    return str(write_folder(folder / "others", files))


def halves(packed: PackedDataset) -> list[set[str]]:
    """The names of the strangers that set the threshold and of those that measure it."""
    found = packed.strangers
    parts = (found.part(split)[1] for split in (Split.val, Split.test))
    return [{found.subjects[int(label)] for label in labels} for labels in parts]


def test_a_folder_of_others_is_read_whole_and_halved_by_identity(
    data: Data, tmp_path: Path
) -> None:
    packed = pack(data, 0, strangers=others(tmp_path))
    assert halves(packed) == [{"x", "z"}, {"y"}]
    assert len(packed.strangers) == 6
    assert packed.faces.subjects == tuple("abcdef")
    alone = pack(data, 0)
    assert torch.equal(packed.faces.images, alone.faces.images)
    assert (len(alone.strangers), alone.strangers.images.shape[1:]) == (0, (3, 32, 32))


def test_subjects_held_out_are_in_no_split_and_the_same_for_a_seed(data: Data) -> None:
    packed, again = pack(data, 3, held_out=0.34), pack(data, 3, held_out=0.34)
    assert not packed.findings  # they are not subjects without images
    held = {*packed.strangers.subjects}
    assert len(held) == 2 and held == {*again.strangers.subjects}
    assert held.isdisjoint(packed.faces.subjects) and len(packed.faces.subjects) == 4
    assert [len(half) for half in halves(packed)] == [1, 1]
    assert not [file for file in packed.files if file[0] in held]
    assert len({frozenset(pack(data, s, held_out=0.34).strangers.subjects) for s in range(4)}) > 1


def test_an_origin_of_others_goes_before_holding_out(data: Data, tmp_path: Path) -> None:
    packed = pack(data, 0, strangers=others(tmp_path), held_out=0.5)
    assert len(packed.faces.subjects) == 6 and packed.strangers.subjects == ("x", "y", "z")
    none = pack(data, 0, strangers=str(SHIPPED / "data/nobody.yaml"), held_out=0.5)
    assert len(none.faces.subjects) == len(none.strangers.subjects) == 3


def test_rendered_faces_are_no_strangers_to_photos(data: Data) -> None:
    packed = pack(data, 0, strangers=str(SHIPPED / "data/smoke-strangers.yaml"))
    assert not len(packed.strangers)
    assert "it holds rendered faces, the dataset photos" in packed.note
    rendered = data.model_copy(update={"origin": str(SHIPPED / "data/smoke.yaml")})
    packed = pack(rendered, 0, strangers=str(SHIPPED / "data/smoke-strangers.yaml"))
    assert (len(packed.strangers), packed.note) == (12, "")


def test_a_stranger_who_is_in_the_dataset_is_refused(data: Data, tmp_path: Path) -> None:
    with pytest.raises(OriginError, match=r"^strangers: a: a stranger is called like a subject"):
        pack(data, 0, strangers=others(tmp_path, "axy"))
    shutil.rmtree(tmp_path / "others")
    folder = others(tmp_path)
    shutil.copy(tmp_path / "faces/a/0.png", tmp_path / "others/x/copy.png")
    with pytest.raises(OriginError, match=r"^strangers: x/copy\.png: the dataset has this image"):
        pack(data, 0, strangers=folder)


def test_too_few_strangers_or_subjects_are_named(data: Data, tmp_path: Path) -> None:
    with pytest.raises(OriginError, match=r"^nowhere: no such .*set unknown\.origin"):
        pack(data, 0, strangers="nowhere")
    with pytest.raises(OriginError, match="there is only one"):
        pack(data, 0, strangers=others(tmp_path, "x"))
    with pytest.raises(OriginError, match="has 6 subjects, too few to hold 5 out"):
        pack(data, 0, held_out=0.9)


@pytest.mark.parametrize("name", ["unknown", "Unknown"])
def test_a_subject_who_is_called_as_strangers_are_is_refused(tmp_path: Path, name: str) -> None:
    """And a class, but no folder that is in a class of another name, and no stranger."""
    folder = write_folder(tmp_path / "faces", subjects("ab"))
    (folder / "b").rename(folder / name)
    data = Data(origin=str(folder), image_size=32)
    said = f"{folder}: {name}: strangers are called unknown; give these faces as unknown.origin"
    with pytest.raises(OriginError, match=f"^{re.escape(said)}"):
        pack(data, 0)
    renamed = data.model_copy(update={"classes": {"one": ("a",), "rest": (name,)}})
    packed = pack(renamed, 0, strangers=others(tmp_path, ["x", name]))
    assert packed.faces.subjects == ("one", "rest") and name in packed.strangers.subjects
    with pytest.raises(OriginError, match="strangers are called unknown"):
        pack(data.model_copy(update={"classes": {"one": ("a",), name: (name,)}}), 0)
