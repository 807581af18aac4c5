"""Archives and folders give the same images; paths that lead outside are refused."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from pkgutil import iter_modules

import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.closure import import_closure
from src.data import origins
from src.data.entries import Origin
from src.data.faceset import Split
from src.data.layout import read_layout, safe_parts
from src.data.origins import open_origin
from src.data.pack import pack
from src.errors import OriginError, UserError
from tests.data.conftest import settings, subjects, write_folder, write_tar, write_zip
from tests.pipelines.stages import is_code, stages
from tests.shipped import ROOT, SHIPPED

NOISE = '''
"""Two subjects of noise, from an origin file or from a file with a suffix of its own."""
from pathlib import Path
from typing import Literal

import numpy as np

from src.config import Data
from src.data.entries import Entry, Origin
from src.data.origins.base import OPENERS, OriginFile


class Noise(OriginFile):
    kind: Literal["noise"]
    images: int

    def open(self, where: str, data: Data) -> Origin:
        return noise(self.images, data.image_size)


def noise(images: int, size: int) -> Origin:
    entries = tuple(Entry(f"{name}/{n}", name) for name in "ab" for n in range(images))
    draw = np.random.default_rng(0).integers
    return Origin(entries, lambda: ((e, draw(256, size=(size, size), dtype="u1")) for e in entries))


def open_npz(path: Path, data: Data) -> Origin:
    return noise(images=6, size=32)


OPENERS[".npz"] = open_npz
'''
PACK = """
import sys
from src.config import Data
from src.data.pack import pack
faces = pack(Data(origin=sys.argv[1]), seed=0).faces
print(faces.subjects, len(faces))
"""


def contents(origin: Origin) -> dict[str, object]:
    return {entry.file: content for entry, content in origin.read()}


def test_folder_tar_and_zip_of_the_same_files_hold_the_same_images(tmp_path: Path) -> None:
    files = {f"faces/{name}": content for name, content in subjects().items()}
    folder = write_folder(tmp_path / "folder", files)
    tar, archive = write_tar(tmp_path / "a.tar.gz", files), write_zip(tmp_path / "a.zip", files)
    found = [open_origin(settings(path)) for path in (folder, tar, archive)]
    assert contents(found[0]) == contents(found[1]) == contents(found[2])
    assert {entry.subject for entry in found[0].entries} == {"a", "b", "c"}
    assert all(entry.split is None for entry in found[0].entries)


@pytest.mark.parametrize("prefix", ["", "facescrub_", "deep/in/"])
def test_a_split_that_the_origin_has_is_kept(tmp_path: Path, prefix: str) -> None:
    files = {f"{prefix}train/{name}": content for name, content in subjects(each=3).items()}
    files |= {f"{prefix}test/{name}": content for name, content in subjects(each=2).items()}
    origin = open_origin(settings(write_tar(tmp_path / "a.tgz", files)))
    given = [entry.split for entry in origin.entries]
    assert given.count(Split.train) == 9 and given.count(Split.test) == 6


@pytest.mark.parametrize("name", ["../a/x.png", "/a/x.png", "a/../../x.png", "C:/a/x.png"])
def test_an_archive_with_a_path_that_leads_outside_is_refused_naming_the_member(
    tmp_path: Path, name: str
) -> None:
    for path in (
        write_tar(tmp_path / "a.tar.gz", subjects() | {name: b"x"}),
        write_zip(tmp_path / "a.zip", subjects() | {name: b"x"}),
    ):
        with pytest.raises(OriginError, match="leads outside") as caught:
            open_origin(settings(path))
        assert name in str(caught.value)


def test_control_characters_in_names_are_escaped(tmp_path: Path) -> None:
    evil = "a\x1b[2J\x9b"
    files = {name.replace("a/", f"{evil}/", 1): content for name, content in subjects().items()}
    files[f"{evil}/\x1b]0;title\x07.png"] = b"broken"
    for path in (
        write_folder(tmp_path / "folder", files),
        write_tar(tmp_path / "a.tar.gz", files),
        write_zip(tmp_path / "a.zip", files),
    ):
        packed = pack(settings(path), seed=0)
        assert r"a\x1b[2J\x9b" in packed.faces.subjects
        assert len(packed.faces) == 18
        shown = "".join((*packed.faces.subjects, *map(str, packed.findings), *packed.files))
        assert shown.isprintable() and r"\x1b]0;title\x07.png" in shown
    broken = write_tar(tmp_path / "b.tar.gz", files | {f"../{evil}.png": b""})
    with pytest.raises(OriginError) as caught:
        open_origin(settings(broken))
    assert str(caught.value).isprintable() and r"a\x1b[2J" in str(caught.value)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE])
def test_links_and_devices_in_an_archive_are_refused(tmp_path: Path, kind: bytes) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        member = tarfile.TarInfo("a/link.png")
        member.type, member.linkname = kind, "/etc/passwd"
        archive.addfile(member)
    with pytest.raises(OriginError, match=r"a/link\.png: a link or a device"):
        open_origin(settings(path))


def test_an_archive_may_list_a_folder_twice_but_no_file(tmp_path: Path) -> None:
    path = tmp_path / "faces.tar"
    for times, name in enumerate(("a/", "a", "b", "a/0.png")):
        write_tar(path, subjects(), "w")
        with tarfile.open(path, "a") as archive:
            for _ in range(2):
                member = tarfile.TarInfo(name)
                member.type = tarfile.DIRTYPE if times < 3 else tarfile.REGTYPE
                archive.addfile(member)
        if times < 3:
            assert len(open_origin(settings(path)).entries) == len(subjects())
    with pytest.raises(OriginError, match=r"a/0\.png: occurs twice"):
        open_origin(settings(path))


def test_a_symbolic_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", subjects())
    with zipfile.ZipFile(path, "a") as archive:
        link = zipfile.ZipInfo("a/link.png")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(OriginError, match="link"):
        open_origin(settings(path))


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("a/big.png", "w", force_zip64=True) as member,
    ):
        for _ in range(300):
            member.write(bytes(2**20))
    with pytest.raises(OriginError, match="unpacks to"):
        open_origin(settings(path))


@pytest.mark.parametrize("name", ["a.tar.gz", "a.zip", "a.tar"])
def test_a_damaged_archive_is_refused(tmp_path: Path, name: str) -> None:
    whole = (write_zip if name.endswith("zip") else write_tar)(tmp_path / name, subjects())
    whole.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(OriginError, match="cannot be read as an archive"):
        contents(open_origin(settings(whole)))


def test_a_folder_that_cannot_be_listed_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    folder = write_folder(Path("faces"), {f"{name}/{n}.png": b"" for name in "abc" for n in "12"})
    (folder / "c").chmod(0)
    user = os.geteuid()
    try:
        if user == 0:
            os.seteuid(65534)  # root may list everything
        with pytest.raises(OriginError, match="faces/c: cannot be read"):
            open_origin(settings(folder))
    finally:
        os.seteuid(user)
        (folder / "c").chmod(0o755)


def test_a_missing_or_empty_origin_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OriginError, match="no such file or folder"):
        open_origin(settings(tmp_path / "nowhere"))
    with pytest.raises(OriginError, match="no images"):
        open_origin(settings(tmp_path))
    with pytest.raises(OriginError, match="no images"):
        open_origin(settings(write_tar(tmp_path / "a.tar.gz", {})))


def test_hidden_files_and_clutter_are_ignored_and_empty_subjects_are_listed(
    tmp_path: Path,
) -> None:
    files = subjects() | {"a/.DS_Store": b"", "__MACOSX/a/._0.png": b"", "a/Thumbs.db": b""}
    folder = write_folder(tmp_path, files)
    (folder / "nobody").mkdir()
    origin = open_origin(settings(folder))
    assert len(origin.entries) == 18
    assert origin.empty == ("nobody",)


names = st.lists(
    st.sampled_from(["a", "b", "train", "test", "..", ".", "", ".x", "1.png", "2.jpg", "C:"]),
    max_size=5,
).map("/".join)


@given(files=st.lists(names, max_size=8), folders=st.lists(names, max_size=4))
def test_any_listing_has_a_layout_or_is_refused_on_one_line(
    files: list[str], folders: list[str]
) -> None:
    try:
        layout = read_layout("origin", files, folders)
    except UserError as error:
        assert "\n" not in str(error)
        return
    for entry in layout.entries.values():
        assert entry.subject and ".." not in entry.file.split("/")


@given(name=st.text(max_size=20))
def test_a_path_is_split_into_parts_or_refused(name: str) -> None:
    try:
        parts = safe_parts("origin", name)
    except OriginError:
        return
    assert ".." not in parts and "" not in parts
    assert not io.StringIO("/".join(parts)).getvalue().startswith("/")


def test_a_new_format_costs_one_new_module(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "src/data/origins/noise.py").write_text(NOISE)
    (tmp_path / "noise.yaml").write_text("kind: noise\nimages: 6\n")
    (tmp_path / "faces.npz").write_bytes(b"")
    for origin in ("noise.yaml", "faces.npz"):
        done = subprocess.run(
            [sys.executable, "-c", PACK, origin],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stdout == "('a', 'b') 12\n", done.stderr


def test_the_dataset_stage_declares_all_code_that_any_format_may_run() -> None:
    modules = [module.name for module in iter_modules(origins.__path__, f"{origins.__name__}.")]
    declared = [Path(dep) for dep in stages(SHIPPED / "dvc.yaml")["dataset"]["deps"]]
    closure = [path for path in import_closure(*modules) if is_code(path)]
    assert not [path for path in closure if not any(path.is_relative_to(dep) for dep in declared)]
