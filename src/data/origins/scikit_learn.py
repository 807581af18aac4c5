"""Datasets that scikit-learn downloads, read from the files that their authors published.

scikit-learn's own functions load pickles that they keep beside those files, and whoever can write
there could run code with them. So only its download is used, which checks sha256; LFW is read
from its archive, which is never extracted, or from its folder of images where that is all there is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from src.config import Data
from src.data.entries import Content, Entry, Origin, Pixels
from src.data.origins.archive import open_archive
from src.data.origins.base import OriginFile
from src.data.origins.folder import open_folder
from src.errors import OriginError
from src.files import digest

FIGSHARE = "https://ndownloader.figshare.com/files"


class SklearnDataset(OriginFile):
    """A dataset in the folder of scikit-learn, which may download it."""

    data_home: str | None = None
    """The folder that keeps the download; null for scikit-learn's own."""
    download_if_missing: bool = True
    """Download the dataset where the folder does not have it yet; false fails instead."""

    def home(self) -> Path:
        """The folder that keeps the download; raises OriginError where it cannot be made."""
        from sklearn.datasets import get_data_home

        try:
            return Path(get_data_home(self.data_home))
        except OSError as error:
            what = f"data_home cannot be made ({error.strerror})"
            raise OriginError(str(error.filename), what, "set it to a folder") from None

    def published(self, where: str, file: Path, number: int, sha256: str) -> Path:
        """`file`, downloaded if it may be; raises OriginError if it is not the published one."""
        from sklearn.datasets import fetch_file

        what = f"{file} is missing"
        if self.download_if_missing and not file.exists():
            try:
                file.parent.mkdir(parents=True, exist_ok=True)
                fetch_file(f"{FIGSHARE}/{number}", file.parent, file.name, sha256)
            except (OSError, ValueError) as error:
                what = f"{self.kind} cannot be downloaded ({error})"
        if not file.is_file():
            mend = "go online with download_if_missing: true, or set data_home to where it is"
            raise OriginError(where, what, mend)
        if digest(file, "sha256") != sha256:
            what = f"{file} is not the published file (sha256 differs from {sha256})"
            raise OriginError(where, what, "remove it to have it downloaded again")
        return file


class Olivetti(SklearnDataset):
    """The Olivetti faces: 40 subjects, 10 grey images each, 64x64 (Samaria and Harter, 1994)."""

    kind: Literal["olivetti"]
    sha256: ClassVar[str] = "b612fb967f2dc77c9c62d3e1266e0c73d5fca46a4b8906c18e454d41af987794"

    def open(self, where: str, data: Data) -> Origin:
        from scipy.io import loadmat

        file = self.published(where, self.home() / "olivettifaces.mat", 5976027, self.sha256)
        columns = loadmat(file, variable_names=["faces"])["faces"].astype(np.float32)
        columns -= columns.min()
        columns *= 255 / columns.max()
        faces: Pixels = columns.round().astype(np.uint8).T.reshape(40, 10, 64, 64)
        subjects = [f"subject_{number:02}" for number in range(1, 41)]
        entries = tuple(Entry(f"{name}/{n:04}", name) for name in subjects for n in range(1, 11))

        def read() -> Iterator[tuple[Entry, Content]]:
            # The file holds each image by columns.
            return zip(entries, faces.reshape(400, 64, 64).transpose(0, 2, 1), strict=True)

        return Origin(entries, read)


class Lfw(SklearnDataset):
    """Labeled Faces in the Wild, cropped to the face in colour (Huang et al., 2007).

    Its archive is compared with the published sha256. Where there is only the folder that
    scikit-learn leaves of it, this is read unchecked.
    """

    kind: Literal["lfw"]
    min_faces_per_person: Annotated[int, Field(ge=3)] = 20
    """Leave out subjects with fewer images."""
    funneled: bool = True
    """Use the images that were aligned by funneling."""
    sha256s: ClassVar[Mapping[bool, str]] = MappingProxyType(
        {
            True: "b47c8422c8cded889dc5a13418c4bc2abbda121092b3533a83306f90d900100a",
            False: "055f7d9c632d7370e6fb4afc7468d40f970c34a80d4c6f50ffec63f5a8d536c0",
        }
    )

    def open(self, where: str, data: Data) -> Origin:
        home = self.home() / "lfw_home"
        folder = home / ("lfw_funneled" if self.funneled else "lfw")
        archive = home / ("lfw-funneled.tgz" if self.funneled else "lfw.tgz")
        if folder.is_dir() and not archive.exists():
            origin = open_folder(folder, data)
        else:
            number = 5976015 if self.funneled else 5976018
            sha256 = self.sha256s[self.funneled]
            origin = open_archive(self.published(where, archive, number, sha256), data)
        counts = Counter(entry.subject for entry in origin.entries)
        named = {
            entry: replace(entry, subject=entry.subject.replace("_", " "))
            for entry in origin.entries
            if counts[entry.subject] >= self.min_faces_per_person
        }

        def read() -> Iterator[tuple[Entry, Content]]:
            return ((named[entry], image) for entry, image in origin.read() if entry in named)

        return Origin(tuple(named.values()), read)
