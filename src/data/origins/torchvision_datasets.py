"""Public datasets that torchvision reads.

`path` in the origin file is the folder that torchvision calls `root`. Nothing is downloaded.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Literal

from src.config import Data
from src.data.entries import Content, Entry, Origin, Pixels
from src.data.faceset import Split
from src.data.files import read_file
from src.data.layout import safe_parts
from src.data.origins.public import PublicDataset
from src.errors import ImageError, OriginError, printable


class TorchvisionDataset(PublicDataset):
    """A dataset that one of torchvision's classes reads from the folder `path`."""

    checksums: ClassVar[Mapping[str, str]] = MappingProxyType({})  # file to md5

    @abstractmethod
    def train_and_test(self) -> tuple[Any, Any]:
        """torchvision's training and test set."""

    @abstractmethod
    def labels(self, dataset: Any) -> list[int]:
        """The class of every image, found without decoding any."""

    @abstractmethod
    def content(self, dataset: Any, number: int, data: Data) -> Content:
        """One image."""

    def open(self, where: str, data: Data) -> Origin:
        for name, md5 in self.checksums.items():
            self.check(where, Path(self.path) / name, "md5", md5)
        try:
            parts = tuple(zip((Split.train, Split.test), self.train_and_test(), strict=True))
        except (RuntimeError, OSError, ValueError, KeyError) as error:
            mend = "set path to the folder that torchvision reads"
            raise OriginError(where, f"{self.kind} is not in {self.path} ({error})", mend) from None
        rows = [
            (Entry(f"{split.name}/{number:06}", names[label], split), dataset, number)
            for split, dataset in parts
            for names in [[printable(str(name)) for name in dataset.classes]]
            for number, label in enumerate(self.labels(dataset))
        ]

        def read() -> Iterator[tuple[Entry, Content]]:
            return ((entry, self.content(dataset, number, data)) for entry, dataset, number in rows)

        return self.limit(Origin(tuple(entry for entry, _, _ in rows), read))


class FilesDataset(TorchvisionDataset):
    """One whose images are files."""

    @abstractmethod
    def file(self, dataset: Any, number: int) -> str | Path:
        """The path of an image."""

    def content(self, dataset: Any, number: int, data: Data) -> Content:
        """Its bytes; torchvision's loader would read a file of any format and size."""
        file = Path(self.file(dataset, number))
        folder = Path(self.path)
        try:
            safe_parts(str(folder), file.relative_to(folder).as_posix())
            return read_file(file, data.max_bytes)
        except ImageError as error:
            return error
        except (OSError, ValueError) as error:
            what = f"{self.kind} lacks an image ({error})"
            raise OriginError(str(file), what, "fetch the dataset again") from None


class Cifar(TorchvisionDataset):
    """CIFAR-10, and CIFAR-100 by its fine labels (Krizhevsky, 2009).

    torchvision compares every checksum before it unpickles the files, whether it downloads or not,
    and whatever `verify` says.
    """

    kind: Literal["cifar10", "cifar100"]

    def train_and_test(self) -> tuple[Any, Any]:
        from torchvision.datasets import CIFAR10, CIFAR100

        dataset = CIFAR10 if self.kind == "cifar10" else CIFAR100
        return dataset(self.path, train=True), dataset(self.path, train=False)

    def labels(self, dataset: Any) -> list[int]:
        return list(dataset.targets)

    def content(self, dataset: Any, number: int, data: Data) -> Content:
        pixels: Pixels = dataset.data[number]
        return pixels


class Cars(FilesDataset):
    """Stanford Cars (Krause et al., 2013): stanford_cars/ with cars_train, cars_test, devkit.

    `verify` compares the list of test labels alone; images and the other lists are read unchecked.
    """

    kind: Literal["cars196"]
    checksums: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"stanford_cars/cars_test_annos_withlabels.mat": "b0a2b23655a3edd16d84508592a98d10"}
    )

    def train_and_test(self) -> tuple[Any, Any]:
        from torchvision.datasets import StanfordCars

        return StanfordCars(self.path, split="train"), StanfordCars(self.path, split="test")

    def labels(self, dataset: Any) -> list[int]:
        return [int(label) for _, label in dataset._samples]

    def file(self, dataset: Any, number: int) -> str | Path:
        path: str = dataset._samples[number][0]
        return path


class Food(FilesDataset):
    """Food-101 (Bossard et al., 2014): food-101/ with images and meta.

    `verify` compares nothing: the only published checksum is the archive's, and it is not read.
    """

    kind: Literal["food101"]

    def train_and_test(self) -> tuple[Any, Any]:
        from torchvision.datasets import Food101

        return Food101(self.path, split="train"), Food101(self.path, split="test")

    def labels(self, dataset: Any) -> list[int]:
        return list(dataset._labels)

    def file(self, dataset: Any, number: int) -> str | Path:
        path: Path = dataset._image_files[number]
        return path
