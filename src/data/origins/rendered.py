"""Images rendered by this project: parametric faces, and objects that stand in for public datasets.

A literature study whose dataset is not available runs on a stand-in with the same classes, split
and image size. Its results then show that the study works, not how well anything does on the real
images.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Annotated, Literal

from pydantic import Field

from src.config import Count, Data
from src.config.section import Name
from src.data.entries import Content, Entry, Origin
from src.data.faceset import Split
from src.data.origins.base import OriginFile

Seed = Annotated[int, Field(ge=0, lt=2**31)]


class Synthetic(OriginFile):
    """Parametric faces, with a test split of their own."""

    kind: Literal["synthetic"]
    subjects: Annotated[int, Field(ge=2)]
    """Number of subjects."""
    train_per_subject: Annotated[int, Field(ge=2)]
    """Images of each subject to train and validate on."""
    test_per_subject: Count
    """Images of each subject in the test split."""
    seed: Seed
    """Chooses the subjects and their images."""
    difficulty: Annotated[float, Field(ge=0, le=1)] = 1.0
    """How far pose, light, expression and camera differ from neutral: 0 not at all, 1 fully."""
    name: Name = "subject"
    """What the subjects are called, before their number."""

    def open(self, where: str, data: Data) -> Origin:
        width = max(2, len(str(self.subjects)))
        names = [f"{self.name}_{number:0{width}}" for number in range(1, self.subjects + 1)]
        entries = _entries(names, train=self.train_per_subject, test=self.test_per_subject)

        def read() -> Iterator[tuple[Entry, Content]]:
            from src.data.synthetic.render import render_subjects

            rows, each = iter(entries), self.train_per_subject + self.test_per_subject
            for subject in range(self.subjects):
                images = render_subjects(
                    1, each, data.image_size, self.seed, subject, self.difficulty
                )
                yield from zip(islice(rows, each), images, strict=True)

        return Origin(entries, read, style="rendered faces")


class Objects(OriginFile):
    """Parametric objects, with a test split of their own."""

    kind: Literal["objects"]
    classes: Annotated[int, Field(ge=2)] | dict[str, Count]
    """Number of classes of one kind each, or the number of kinds in each class by its name."""
    train_per_class: Annotated[int, Field(ge=2)]
    """Images of each class to train and validate on."""
    test_per_class: Count
    """Images of each class in the test split."""
    seed: Seed
    """Chooses the kinds of object and their images."""
    likeness: Annotated[float, Field(ge=0, le=1)] = 0.0
    """How much all kinds resemble each other: 0 not at all, 1 entirely."""
    size: Annotated[int, Field(ge=16, le=1024)] | None = None
    """Width and height in pixels; null takes data.image_size."""

    @property
    def kinds(self) -> dict[str, int]:
        """Class to the number of kinds of object in it."""
        if isinstance(self.classes, dict):
            return self.classes
        width = len(str(self.classes))
        return {f"class_{number:0{width}}": 1 for number in range(1, self.classes + 1)}

    def open(self, where: str, data: Data) -> Origin:
        entries = _entries(self.kinds, train=self.train_per_class, test=self.test_per_class)

        def read() -> Iterator[tuple[Entry, Content]]:
            from src.data.objects import Style, render_objects

            size, style = self.size or data.image_size, Style(likeness=self.likeness)
            rows, first = iter(entries), 0
            for count in self.kinds.values():
                for number in range(self.train_per_class + self.test_per_class):
                    image, kind = divmod(number, count)  # the kinds of a class take turns
                    pixels = render_objects(
                        [first + kind], 1, size, self.seed, style, first_image=image
                    )
                    yield next(rows), pixels[0]
                first += count

        return Origin(entries, read, style="rendered objects")


class Nobody(OriginFile):
    """No images, for `unknown.origin` where there are no strangers."""

    kind: Literal["nobody"]

    def open(self, where: str, data: Data) -> Origin:
        return Origin((), lambda: iter(()))


def _entries(subjects: Iterable[str], *, train: int, test: int) -> tuple[Entry, ...]:
    """`train` and then `test` images of each subject, numbered from 1 through both."""
    splits = [Split.train] * train + [Split.test] * test
    return tuple(
        Entry(f"{split.name}/{subject}/{number:04}", subject, split)
        for subject in subjects
        for number, split in enumerate(splits, 1)
    )
