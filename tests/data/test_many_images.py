"""Origins of many images: packed in the memory that few take, to the same bytes, or not at all."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pipelines import dataset
from src import cli, paths
from src.data import audit
from src.data.audit import near_pairs
from src.data.faceset import FaceSet, Split
from src.data.origins import open_origin
from src.data.pack import pack
from src.data.spool import SpooledImages
from src.errors import AuditError, OutputError
from tests.data.conftest import encoded, settings, subjects, write_folder, write_tar, write_zip
from tests.disk import full_disk
from tests.shipped import SHIPPED

GOLDEN = "0e39a1a552fe4a4cc680c92304cb1f51a965da4b82c903a206bcf4ef5d25406a"
SIZE = 256  # to which small files are enlarged, so that pixels outweigh everything else
# Pages of mapped files are left out: the kernel takes them back whenever it needs their memory.
PACK = f"""
import sys, threading, time
from pathlib import Path
from src.config import Data
from src.data.pack import pack
import scipy.fft, safetensors.torch

def anonymous():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("RssAnon"))

def watch():
    while True:
        peaks.append(max(peaks.pop(), anonymous()))
        time.sleep(0.005)

before = anonymous()
peaks = [before]
threading.Thread(target=watch, daemon=True).start()
pack(Data(origin=sys.argv[1], image_size={SIZE}), seed=0).faces.save(Path("packed"))
print(peaks[0] - before)
"""


def drawn(number: int, side: int = 12) -> NDArray[np.uint8]:
    return np.random.default_rng(number).integers(0, 256, (side, side, 3), dtype=np.uint8)


def files(each: int) -> dict[str, bytes]:
    return {
        f"{k}/{n}.bmp": encoded(drawn(each * k + n), "BMP") for k in range(2) for n in range(each)
    }


def peak(origin: Path) -> int:
    """MiB that packing takes beyond what its imports do."""
    done = subprocess.run(
        [sys.executable, "-c", PACK, str(origin)],
        cwd=origin.parent,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout)


def own_memory() -> float:
    """MiB of this process that are no pages of mapped files."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 2**10 for line in lines if line.startswith("RssAnon"))


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
@pytest.mark.parametrize(
    ("name", "write"),
    [("a.tar", partial(write_tar, mode="w")), ("a.zip", write_zip), ("a", write_folder)],
)
def test_four_times_the_images_are_packed_in_the_same_memory(
    name: str, write: Callable[[Path, dict[str, bytes]], Path], tmp_path: Path
) -> None:
    found = []
    for each in (75, 300):
        (tmp_path / str(each)).mkdir()
        found.append(peak(write(tmp_path / str(each) / name, files(each))))
    more = 2 * (300 - 75) * SIZE**2 * 3 / 2**20
    assert found[1] - found[0] < more / 4, (found, more)


def test_rendered_faces_are_drawn_subject_by_subject(tmp_path: Path) -> None:
    origin = tmp_path / "many.yaml"
    numbers = "subjects: 20000\ntrain_per_subject: 2\ntest_per_subject: 1\nseed: 1\n"
    origin.write_text(f"kind: synthetic\n{numbers}")
    images = open_origin(settings(origin)).read()
    started = time.process_time()
    assert [next(images)[0].file for _ in range(4)][3] == "train/subject_00002/0001"
    assert time.process_time() - started < 20  # all of them take minutes


@pytest.mark.parametrize(
    ("name", "write"), [("a.tar.gz", write_tar), ("a.zip", write_zip), ("a", write_folder)]
)
def test_the_packed_bytes_are_those_of_earlier_versions(
    name: str, write: Callable[[Path, dict[str, bytes]], Path], tmp_path: Path
) -> None:
    images = {f"{k}é/{n}.png": encoded(drawn(10 * k + n, 32)) for k in range(3) for n in range(7)}
    pack(settings(write(tmp_path / name, images)), seed=0).faces.save(tmp_path / "packed")
    assert hashlib.sha256((tmp_path / "packed").read_bytes()).hexdigest() == GOLDEN


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
def test_a_split_is_read_from_the_file_as_it_is_asked_for(tmp_path: Path) -> None:
    count = 400
    images = torch.arange(count).byte().view(-1, 1, 1, 1).expand(-1, 3, SIZE, SIZE)
    split = torch.tensor([Split.train, Split.train, Split.test, Split.val] * (count // 4))
    FaceSet(images, torch.arange(count), split.byte(), ("a",)).save(tmp_path / "packed")
    faces = FaceSet.load(tmp_path / "packed")
    before = own_memory()
    mapped, labels = faces.mapped(Split.train)
    total = sum(int(mapped[row : row + 5].numpy().sum()) for row in range(0, 200, 5))
    assert own_memory() - before < 200 * SIZE**2 * 3 / 2**20 / 2
    assert total == int((labels % 256).sum()) * SIZE**2 * 3
    assert mapped.shape == (200, 3, SIZE, SIZE)
    assert torch.equal(mapped[torch.tensor([7, 3])], faces.part(Split.train)[0][[7, 3]])


def test_an_archive_that_is_damaged_in_the_middle_leaves_what_was_there_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (SHIPPED / "params.yaml").read_text().replace("data/synthetic.yaml", "faces.zip")
    (tmp_path / "params.yaml").write_text(text.replace("data/strangers.yaml", "nobody.yaml"))
    (tmp_path / "nobody.yaml").write_text("kind: nobody\n")
    monkeypatch.chdir(tmp_path)
    archive = write_zip(tmp_path / "faces.zip", subjects(each=9))
    dataset.main([])
    outputs = (paths.FACES, paths.STRANGERS, paths.MANIFEST, paths.AUDIT, paths.CONTACT_SHEET)
    before = {path: path.read_bytes() for path in outputs}
    with zipfile.ZipFile(archive) as listed:
        middle = listed.infolist()[13].header_offset
    content = bytearray(archive.read_bytes())
    content[middle + 60 : middle + 90] = bytes(30)
    archive.write_bytes(content)
    with pytest.raises(SystemExit) as ended:
        cli.run(dataset.main, [])
    assert ended.value.code == 2 and "cannot be read as an archive" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in outputs} == before
    assert not [path for path in (tmp_path / ".cache").rglob("*") if path.is_file()]


@pytest.mark.parametrize("distance", [0, 1, 4, 9, 16])
@pytest.mark.parametrize("count", [0, 1, 3000])
def test_the_pairs_are_those_of_comparing_all_with_all(distance: int, count: int) -> None:
    draw = np.random.default_rng(distance)
    hashes = draw.integers(0, 2**64, count, dtype=np.uint64)
    for row in range(0, count // 2):  # near ones, by flipping a few bits of others
        flipped = draw.choice(64, draw.integers(0, 20), replace=False)
        hashes[row] = hashes[-row - 1] ^ np.uint64(sum(1 << int(bit) for bit in flipped))
    parts = draw.integers(0, 3, count)
    bits = np.bitwise_count(hashes[:, None] ^ hashes[None, :])
    near = (bits <= distance) & (parts[:, None] < parts[None, :])
    expected = [(one, other, int(bits[one, other])) for one, other in np.argwhere(near).tolist()]
    assert list(near_pairs(hashes, parts, distance)) == expected
    assert count < 3000 or len(expected) > 20


def test_a_hundred_thousand_images_are_compared_in_little_time() -> None:
    hashes = np.random.default_rng(0).integers(0, 2**64, 100_000, dtype=np.uint64)
    hashes[70_000] = hashes[5] ^ np.uint64(0b1011)
    started = time.process_time()
    assert list(near_pairs(hashes, np.arange(len(hashes)), 4)) == [(5, 70_000, 3)]
    assert time.process_time() - started < 20  # of comparing all with all, minutes


def test_more_near_duplicates_than_anybody_reads_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(audit, "MAX_PAIRS", 1000)
    with pytest.raises(AuditError, match=r"more than 1,000 pairs.*near_distance"):
        list(near_pairs(np.zeros(100, np.uint64), np.arange(100), 4))


@pytest.mark.parametrize("room", [1, 7])  # images that fit: too few to read them, or to copy them
def test_a_disk_too_full_for_the_images_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    (tmp_path / "params.yaml").touch()
    monkeypatch.chdir(tmp_path)
    images = [np.full((64, 64, 3), number, np.uint8) for number in range(6)]
    with full_disk(room * images[0].nbytes), pytest.raises(OutputError) as refused:
        SpooledImages.of(64, images).chosen([*range(6), 0, 1]).tensor()
    assert refused.value.where == str(tmp_path / ".cache/tmp")
    assert "images cannot be written (file too large" in str(refused.value)
