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
from src.data.origins.public import PublicDataset
from src.errors import OriginError


class TorchvisionDataset(PublicDataset):
    """A dataset that one of torchvision's classes reads from the folder `path`."""

    checksums: ClassVar[Mapping[str, str]] = MappingProxyType({})  # file to md5

    @abstractmethod
    def train_and_test(self) -> tuple[Any, Any]:
        """torchvision's training and test set."""

    @abstractmethod
    def labels(self, dataset: Any) -> list[int]:
        """The class of every image, found without decoding any."""

    def open(self, where: str, data: Data) -> Origin:
        for name, md5 in self.checksums.items():
            self.check(where, Path(self.path) / name, "md5", md5)
        try:
            parts = tuple(zip((Split.train, Split.test), self.train_and_test(), strict=True))
        except (RuntimeError, OSError, ValueError, KeyError) as error:
            mend = "set path to the folder that torchvision reads"
            raise OriginError(where, f"{self.kind} is not in {self.path} ({error})", mend) from None
        rows = [
            (Entry(f"{split.name}/{number:06}", dataset.classes[label], split), dataset, number)
            for split, dataset in parts
            for number, label in enumerate(self.labels(dataset))
        ]

        def read() -> Iterator[tuple[Entry, Content]]:
            import numpy as np

            for entry, dataset, number in rows:
                pixels: Pixels = np.asarray(dataset[number][0].convert("RGB"))
                yield entry, pixels

        return self.limit(Origin(tuple(entry for entry, _, _ in rows), read))


class Cifar(TorchvisionDataset):
    """CIFAR-10, and CIFAR-100 by its fine labels (Krizhevsky, 2009).

    torchvision compares every checksum before it unpickles the files.
    """

    kind: Literal["cifar10", "cifar100"]

    def train_and_test(self) -> tuple[Any, Any]:
        from torchvision.datasets import CIFAR10, CIFAR100

        dataset = CIFAR10 if self.kind == "cifar10" else CIFAR100
        return dataset(self.path, train=True), dataset(self.path, train=False)

    def labels(self, dataset: Any) -> list[int]:
        return list(dataset.targets)


class Cars(TorchvisionDataset):
    """Stanford Cars (Krause et al., 2013): stanford_cars/ with cars_train, cars_test, devkit."""

    kind: Literal["cars196"]
    checksums: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"stanford_cars/cars_test_annos_withlabels.mat": "b0a2b23655a3edd16d84508592a98d10"}
    )

    def train_and_test(self) -> tuple[Any, Any]:
        from torchvision.datasets import StanfordCars

        return StanfordCars(self.path, split="train"), StanfordCars(self.path, split="test")

    def labels(self, dataset: Any) -> list[int]:
        return [int(label) for _, label in dataset._samples]


class Food(TorchvisionDataset):
    """Food-101 (Bossard et al., 2014): food-101/ with images and meta."""

    kind: Literal["food101"]

    def train_and_test(self) -> tuple[Any, Any]:
        from torchvision.datasets import Food101

        return Food101(self.path, split="train"), Food101(self.path, split="test")

    def labels(self, dataset: Any) -> list[int]:
        return list(dataset._labels)
