"""Public datasets as their authors publish them, verified by checksum.

`path` in the origin file is the published archive. Nothing is downloaded and nothing extracted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal

from src.config import Count, Data
from src.data.entries import Content, Entry, Origin
from src.data.faceset import Split
from src.data.layout import safe_parts
from src.data.origins.archive import open_archive, reading
from src.data.origins.base import OriginFile
from src.data.tar import DAMAGE, members
from src.errors import OriginError
from src.files import digest

LISTS = tuple(
    f"CUB_200_2011/{name}.txt"
    for name in ("images", "image_class_labels", "train_test_split", "classes")
)
MAX_LIST = 2**24  # bytes; CUB's longest list has under a million


class PublicDataset(OriginFile):
    """A public dataset. `train_per_class` and `test_per_class` keep only the first so many."""

    path: str
    """The published archive, or the folder that torchvision reads."""
    verify: bool = True
    """Compare checksums with the published ones before reading, where this kind has any."""
    train_per_class: Count | None = None
    """Take only the first so many training images of each class; null takes all."""
    test_per_class: Count | None = None
    """Take only the first so many test images of each class; null takes all."""

    def check(self, where: str, file: Path, algorithm: str, expected: str) -> None:
        """Raise OriginError where `file` is missing, or is not the one that was published."""
        if not file.is_file():
            raise OriginError(where, f"{file} is missing", "set path to where you put the dataset")
        if self.verify and digest(file, algorithm) != expected:
            what = f"{file} is not the published file ({algorithm} differs from {expected})"
            raise OriginError(where, what, "fetch it again, or set verify: false to use it anyway")

    def limit(self, origin: Origin) -> Origin:
        """`origin` without the images beyond `train_per_class` and `test_per_class`."""
        limits = {Split.train: self.train_per_class, Split.test: self.test_per_class}
        counts: dict[tuple[str, Split | None], int] = {}
        kept = set()
        for entry in origin.entries:
            key = entry.subject, entry.split
            counts[key] = counts.get(key, 0) + 1
            limit = limits[entry.split or Split.train]
            if limit is None or counts[key] <= limit:
                kept.add(entry)
        entries = tuple(entry for entry in origin.entries if entry in kept)
        return replace(
            origin,
            entries=entries,
            read=lambda: (each for each in origin.read() if each[0] in kept),
        )


class HotDog(PublicDataset):
    """Hot dogs and other food (Zhang et al., Dive into Deep Learning): hotdog.zip."""

    kind: Literal["hotdog"]
    sha1: ClassVar[str] = "fba480ffa8aa7e0febbb511d181409f899b9baa5"

    def open(self, where: str, data: Data) -> Origin:
        self.check(where, Path(self.path), "sha1", self.sha1)
        return self.limit(open_archive(Path(self.path), data))


class Cub(PublicDataset):
    """Caltech-UCSD Birds 200 (Wah et al., 2011): CUB_200_2011.tgz."""

    kind: Literal["cub200"]
    md5: ClassVar[str] = "97eceeb196236b17998738112f37df78"

    def open(self, where: str, data: Data) -> Origin:
        path = Path(self.path)
        self.check(where, path, "md5", self.md5)
        entries = self._entries(where, path)

        def read() -> Iterator[tuple[Entry, Content]]:
            with reading(path):
                for member, content in members(path, data.max_bytes):
                    if (entry := entries.get(member.name)) and member.isfile():
                        yield entry, content()

        return self.limit(Origin(tuple(entries.values()), read))

    def _entries(self, where: str, path: Path) -> dict[str, Entry]:
        """Entries by name of member, in the archive's order, from its four numbered lists."""
        lists: dict[str, dict[str, str]] = {}
        names = []
        try:
            for member, content in members(path, MAX_LIST):
                names.append(member.name)
                if member.isfile() and member.name in LISTS:
                    lists[member.name] = _list(content())
            images, labels, training, classes = (lists[name] for name in LISTS)
            entries = {
                f"CUB_200_2011/images/{file}": Entry(
                    "/".join(safe_parts(str(path), file)),
                    "/".join(safe_parts(str(path), classes[labels[key]])),
                    Split.train if training[key] == "1" else Split.test,
                )
                for key, file in images.items()
            }
            return {name: entries[name] for name in names if name in entries}
        except DAMAGE as error:
            raise OriginError(
                where, f"{path} is not laid out as CUB_200_2011.tgz ({error})", "fetch it again"
            ) from None


def _list(content: bytes) -> dict[str, str]:
    """The lines `NUMBER VALUE` of one of CUB's text files."""
    return dict(line.split(" ", 1) for line in content.decode().splitlines() if line)
