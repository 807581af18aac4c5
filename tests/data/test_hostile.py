"""Damaged archives are refused, and hostile ones and files cost little before they are."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from src.data.origins import open_origin
from src.data.pack import pack
from src.errors import OriginError, UserError
from tests.data.conftest import asking_for, settings, subjects, unpacked, write_folder, write_tar

PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "a.tar": bytes,
    "a.tar.gz": gzip.compress,
    "a.tar.bz2": bz2.compress,
    "a.tar.xz": lzma.compress,
}
READ = """
import resource, sys
from src.config import Data
from src.data.pack import pack
from src.errors import UserError
import torch, scipy.fft
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    pack(Data(origin=sys.argv[1], image_size=32), seed=0)
except UserError as error:
    print(error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def starts(tar: bytes) -> list[int]:
    """Where each member's header starts."""
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        return [member.offset for member in archive]


def damages() -> dict[str, bytes]:
    whole = unpacked(subjects())
    middle = starts(whole)[9]
    end = len(whole.rstrip(b"\0"))
    end += -end % 512
    flipped = bytearray(whole)
    flipped[middle + 20] ^= 1
    return {
        "a wrong bit": bytes(flipped),
        "cut between members": whole[:middle],
        "cut within a header": whole[: middle + 100],
        "one block of zeros": whole[: end + 512],
        "something after the end": whole + b"x",
        "a blank header": whole[:middle] + bytes(512) + whole[middle + 512 :],
    }


@pytest.mark.parametrize("name", PACKERS)
@pytest.mark.parametrize("damage", damages())
def test_a_tar_that_does_not_end_as_it_should_is_refused(
    tmp_path: Path, damage: str, name: str
) -> None:
    path = tmp_path / name
    path.write_bytes(PACKERS[name](damages()[damage]))
    with pytest.raises(OriginError, match="cannot be read as an archive") as caught:
        open_origin(settings(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", PACKERS)
def test_a_whole_tar_is_read_however_it_is_packed(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(PACKERS[name](unpacked(subjects())))
    found = {entry.file: content for entry, content in open_origin(settings(path)).read()}
    assert found == subjects()


def test_a_tar_with_long_names_is_read(tmp_path: Path) -> None:
    files = {f"{'é' * 80}/{name}": content for name, content in subjects().items()}
    for form in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        path = tmp_path / f"{form}.tar"
        with tarfile.open(path, "w", format=form) as archive:
            archive.add(write_folder(tmp_path / "faces", files), "faces")
        assert len(open_origin(settings(path)).entries) == 18


def test_a_gzip_stream_must_be_whole_to_its_end(tmp_path: Path) -> None:
    whole = gzip.compress(unpacked(subjects()))
    wrong = bytearray(whole)
    wrong[-5] ^= 1  # of the checksum
    for number, content in enumerate((whole[:-4], bytes(wrong), whole + b"more")):
        path = tmp_path / f"{number}.tar.gz"
        path.write_bytes(content)
        with pytest.raises(OriginError, match="cannot be read as an archive"):
            open_origin(settings(path))


@pytest.mark.parametrize("name", [*PACKERS, "a.zip"])
def test_a_wrong_bit_anywhere_is_refused_on_one_line_or_seen_in_the_images(
    tmp_path: Path, name: str
) -> None:
    files, path = subjects("ab", 3), tmp_path / name
    if name == "a.zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for each, content in files.items():
                archive.writestr(each, content)
    else:
        path.write_bytes(PACKERS[name](unpacked(files)))
    whole, draw = path.read_bytes(), np.random.default_rng(0).integers
    for _ in range(300):
        wrong = bytearray(whole)
        wrong[draw(len(wrong))] ^= 1 << int(draw(8))
        path.write_bytes(wrong)
        try:
            found = list(open_origin(settings(path)).read())
        except UserError as error:
            assert "\n" not in str(error)
        else:
            assert len(found) == 6


def endless_name(kind: bytes) -> tarfile.TarInfo:
    member = tarfile.TarInfo("././@LongLink")
    member.type, member.size = kind, 400 * 2**20
    return member


def one_long_header(path: Path, kind: bytes) -> None:
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(endless_name(kind).tobuf(tarfile.GNU_FORMAT))
        for _ in range(400):
            file.write(b"a" * 2**20)


def many_headers(path: Path, kind: bytes) -> None:
    member, after = tarfile.TarInfo("././@LongLink"), tarfile.TarInfo("a/1.png")
    member.type, member.size = kind, 60_000
    record = b"60000 comment=" + b"a" * (60_000 - 15) + b"\n"
    name = (record if kind != tarfile.GNUTYPE_LONGNAME else b"a/" * 29_999).ljust(60_416, b"\0")
    block = member.tobuf(tarfile.GNU_FORMAT) + name + after.tobuf(tarfile.GNU_FORMAT)
    with gzip.open(path, "wb", compresslevel=1) as file:
        for _ in range(8_000):
            file.write(block)
        file.write(bytes(1024))


def many_members(path: Path, kind: bytes) -> None:
    member = tarfile.TarInfo("a/1.png").tobuf(tarfile.GNU_FORMAT)
    with gzip.open(path, "wb", compresslevel=1) as file:
        for _ in range(400):
            file.write(member * 2_000)
        file.write(bytes(1024))


def cost(path: Path) -> tuple[str, int]:
    """What packing an origin says, and by how many MiB it grows the process."""
    done = subprocess.run(
        [sys.executable, "-c", READ, path], capture_output=True, text=True, check=True
    )
    *said, grown = done.stdout.splitlines()
    return "\n".join(said), int(grown)


@pytest.mark.faults
@pytest.mark.parametrize("write", [one_long_header, many_headers, many_members])
@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE])
def test_headers_out_of_proportion_are_refused_in_little_memory(
    tmp_path: Path, write: Callable[[Path, bytes], None], kind: bytes
) -> None:
    write(tmp_path / "a.tar.gz", kind)
    said, grown = cost(tmp_path / "a.tar.gz")
    assert "header" in said and said.count("\n") == 0
    assert grown < 200


@pytest.mark.parametrize("dictionary", [30, 40])  # 128 MiB and 4 GiB
def test_an_xz_that_asks_for_much_memory_is_refused(tmp_path: Path, dictionary: int) -> None:
    path = tmp_path / "a.tar.xz"
    path.write_bytes(asking_for(dictionary, lzma.compress(unpacked(subjects()))))
    with pytest.raises(OriginError, match=r"cannot be read as an archive .*[Mm]emory"):
        open_origin(settings(path))
    path.write_bytes(asking_for(28, lzma.compress(unpacked(subjects()))))  # as `xz -9` asks for
    assert len(open_origin(settings(path)).entries) == 18


def test_an_xz_of_several_streams_is_read_to_its_end(tmp_path: Path) -> None:
    whole, path = unpacked(subjects()), tmp_path / "a.tar.xz"
    parts = [lzma.compress(part) for part in (whole[:5000], whole[5000:], b"")]
    path.write_bytes(bytes(8).join(parts) + bytes(2**17))
    found = {entry.file: content for entry, content in open_origin(settings(path)).read()}
    assert found == subjects()
    bomb = asking_for(40, parts[1])
    for wrong in (parts[0] + parts[1][:-9], parts[0] + b"x" + parts[1], parts[0] + bomb):
        path.write_bytes(wrong)
        with pytest.raises(OriginError, match="cannot be read as an archive"):
            open_origin(settings(path))


@pytest.mark.faults
def test_a_zip_of_large_members_is_read_few_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in subjects("ab", 20).items():
            archive.writestr(name, content + bytes(20 * 2**20))
    _, grown = cost(path)
    assert grown < 300


def test_a_zip_packed_without_a_bound_on_unpacking_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        for name, content in subjects().items():
            archive.writestr(name, content)
    with pytest.raises(OriginError, match="another method than deflate"):
        open_origin(settings(path))


@pytest.mark.faults
def test_a_sparse_file_in_a_folder_is_left_out_unread(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "faces", subjects())
    with (folder / "a/huge.png").open("wb") as file:
        file.truncate(10 * 2**30)
    (finding,) = pack(settings(folder), seed=0).findings
    assert finding.files == ("a/huge.png",)
    assert "more than data.max_bytes" in finding.note
    _, grown = cost(folder)
    assert grown < 100


def test_a_file_may_have_as_many_bytes_as_data_says(tmp_path: Path) -> None:
    files = subjects()
    most = max(len(content) for content in files.values())
    folder, tar = write_folder(tmp_path / "faces", files), write_tar(tmp_path / "a.tar.gz", files)
    assert not pack(settings(folder, max_bytes=most), seed=0).findings
    assert pack(settings(folder, max_bytes=most - 1), seed=0).findings
    assert not pack(settings(tar, max_bytes=most), seed=0).findings
    with pytest.raises(OriginError, match=r"more than data\.max_bytes"):
        pack(settings(tar, max_bytes=most - 1), seed=0)


def test_a_named_pipe_is_no_origin_and_no_image(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "faces", subjects())
    for name in ("a.zip", "a.tar", "a.tar.gz"):
        os.mkfifo(tmp_path / name)
        with pytest.raises(OriginError, match="not a file"):
            open_origin(settings(tmp_path / name))
    os.mkfifo(folder / "a/pipe.png")
    with pytest.raises(OriginError, match=r"pipe\.png: not a file"):
        pack(settings(folder), seed=0)


def test_a_member_of_a_size_beyond_measure_is_refused_on_one_line(tmp_path: Path) -> None:
    for number, size in enumerate(("9" * 300, "-512")):
        path = tmp_path / f"{number}.tar"
        with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
            member = tarfile.TarInfo("a/1.png")
            member.pax_headers = {"size": size}
            archive.addfile(member)
        with pytest.raises(OriginError) as caught:
            open_origin(settings(path))
        assert "\n" not in str(caught.value)
