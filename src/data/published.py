"""Public datasets in the layout in which their authors publish them, checked by their checksums.

Each recipe names a `path` that holds the files as published: an archive where one is enough, else
the folder that torchvision's class reads. Nothing is downloaded and nothing extracted here.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Literal

from src.config import Count
from src.data.archive import MAX_MEMBER, open_archive
from src.data.entries import Content, Entry, Origin, Pixels
from src.data.faceset import Split
from src.data.recipe import Recipe
from src.errors import OriginError
from src.files import digest


class Published(Recipe):
    """A public dataset. `train_per_class` and `test_per_class` take only the first so many."""

    path: str
    verify: bool = True  # compare checksums with the published ones before reading
    train_per_class: Count | None = None
    test_per_class: Count | None = None

    def check(self, where: str, file: Path, algorithm: str, expected: str) -> None:
        """Raise OriginError where `file` is missing, or is not the one that was published."""
        if not file.is_file():
            raise OriginError(where, f"{file} is missing", "set path to where you put the dataset")
        if self.verify and digest(file, algorithm) != expected:
            what = f"{file} is not the published file ({algorithm} differs from {expected})"
            raise OriginError(where, what, "fetch it again, or set verify: false to use it anyway")

    def few(self, origin: Origin) -> Origin:
        """The origin without what is beyond the limits per class."""
        most = {Split.train: self.train_per_class, Split.test: self.test_per_class}
        counts: dict[tuple[str, Split | None], int] = {}
        kept = set()
        for entry in origin.entries:
            key = entry.subject, entry.given
            counts[key] = counts.get(key, 0) + 1
            limit = most[entry.given or Split.train]
            if limit is None or counts[key] <= limit:
                kept.add(entry)
        entries = tuple(entry for entry in origin.entries if entry in kept)
        return Origin(entries, lambda: (each for each in origin.read() if each[0] in kept))


class HotDog(Published):
    """Hot dogs and other food (Zhang et al., Dive into Deep Learning): hotdog.zip."""

    kind: Literal["hotdog"]
    sha1: ClassVar[str] = "fba480ffa8aa7e0febbb511d181409f899b9baa5"

    def open(self, where: str, image_size: int) -> Origin:  # noqa: ARG002 - pictures have their own
        self.check(where, Path(self.path), "sha1", self.sha1)
        return self.few(open_archive(Path(self.path)))


class Cub(Published):
    """Caltech-UCSD Birds 200 (Wah et al., 2011): CUB_200_2011.tgz, read in memory."""

    kind: Literal["cub200"]
    md5: ClassVar[str] = "97eceeb196236b17998738112f37df78"

    def open(self, where: str, image_size: int) -> Origin:  # noqa: ARG002 - pictures have their own
        path = Path(self.path)
        self.check(where, path, "md5", self.md5)
        entries = self._entries(where, path)

        def read() -> Iterator[tuple[Entry, Content]]:
            with tarfile.open(path) as archive:
                for member in archive:
                    entry = entries.get(member.name)
                    safe = member.isfile() and member.size <= MAX_MEMBER
                    file = archive.extractfile(member) if entry and safe else None
                    if entry and file:
                        yield entry, file.read()

        with tarfile.open(path) as archive:
            order = [entries[name] for name in archive.getnames() if name in entries]
        return self.few(Origin(tuple(order), read))

    def _entries(self, where: str, path: Path) -> dict[str, Entry]:
        """Member to entry, from the four lists, which number images and classes from 1."""
        names = ("images", "image_class_labels", "train_test_split", "classes")
        try:
            with tarfile.open(path) as archive:
                images, labels, training, classes = (_list(archive, name) for name in names)
            return {
                f"CUB_200_2011/images/{file}": Entry(
                    file, classes[labels[key]], Split.train if training[key] == "1" else Split.test
                )
                for key, file in images.items()
            }
        except (tarfile.TarError, OSError, EOFError, KeyError, ValueError) as error:
            raise OriginError(
                where, f"{path} is not laid out as CUB_200_2011.tgz ({error})", "fetch it again"
            ) from None


def _list(archive: tarfile.TarFile, name: str) -> dict[str, str]:
    """The lines `NUMBER VALUE` of one of CUB's text files."""
    file = archive.extractfile(f"CUB_200_2011/{name}.txt")
    lines = file.read().decode().splitlines() if file else []
    return dict(line.split(" ", 1) for line in lines if line)


class Torchvision(Published):
    """A dataset that one of torchvision's classes reads from the folder `path`."""

    files: ClassVar[Mapping[str, str]] = MappingProxyType({})  # to check: file to md5

    def datasets(self) -> tuple[Any, Any]:
        """torchvision's training and test set."""
        raise NotImplementedError

    def labels(self, dataset: Any) -> list[int]:
        """The class of every picture, without opening it."""
        raise NotImplementedError

    def open(self, where: str, image_size: int) -> Origin:  # noqa: ARG002 - pictures have their own
        for name, md5 in self.files.items():
            self.check(where, Path(self.path) / name, "md5", md5)
        try:
            parts = tuple(zip((Split.train, Split.test), self.datasets(), strict=True))
        except (RuntimeError, OSError, ValueError, KeyError) as error:
            mend = "set path to the folder that torchvision reads"
            raise OriginError(where, f"{self.kind} is not in {self.path} ({error})", mend) from None
        entries = [
            (Entry(f"{split.name}/{number:06}", dataset.classes[label], split), dataset, number)
            for split, dataset in parts
            for number, label in enumerate(self.labels(dataset))
        ]

        def read() -> Iterator[tuple[Entry, Content]]:
            import numpy as np

            for entry, dataset, number in entries:
                pixels: Pixels = np.asarray(dataset[number][0].convert("RGB"))
                yield entry, pixels

        return self.few(Origin(tuple(entry for entry, _, _ in entries), read))


class Cifar10(Torchvision):
    """CIFAR-10 (Krizhevsky, 2009). torchvision unpickles it, after comparing every checksum."""

    kind: Literal["cifar10"]

    def datasets(self) -> tuple[Any, Any]:
        from torchvision.datasets import CIFAR10

        return CIFAR10(self.path, train=True), CIFAR10(self.path, train=False)

    def labels(self, dataset: Any) -> list[int]:
        return list(dataset.targets)


class Cifar100(Cifar10):
    """CIFAR-100 (Krizhevsky, 2009), by its fine labels."""

    kind: Literal["cifar100"]  # type: ignore[assignment]

    def datasets(self) -> tuple[Any, Any]:
        from torchvision.datasets import CIFAR100

        return CIFAR100(self.path, train=True), CIFAR100(self.path, train=False)


class Cars(Torchvision):
    """Stanford Cars (Krause et al., 2013): stanford_cars/ with cars_train, cars_test, devkit."""

    kind: Literal["cars196"]
    files: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"stanford_cars/cars_test_annos_withlabels.mat": "b0a2b23655a3edd16d84508592a98d10"}
    )

    def datasets(self) -> tuple[Any, Any]:
        from torchvision.datasets import StanfordCars

        return StanfordCars(self.path, split="train"), StanfordCars(self.path, split="test")

    def labels(self, dataset: Any) -> list[int]:
        return [int(label) for _, label in dataset._samples]


class Food(Torchvision):
    """Food-101 (Bossard et al., 2014): food-101/ with images and meta."""

    kind: Literal["food101"]

    def datasets(self) -> tuple[Any, Any]:
        from torchvision.datasets import Food101

        return Food101(self.path, split="train"), Food101(self.path, split="test")

    def labels(self, dataset: Any) -> list[int]:
        return list(dataset._labels)


PUBLISHED: Mapping[str, type[Recipe]] = MappingProxyType(
    {
        "hotdog": HotDog,
        "cifar10": Cifar10,
        "cifar100": Cifar100,
        "cub200": Cub,
        "cars196": Cars,
        "food101": Food,
    }
)
