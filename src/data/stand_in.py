"""Stand-ins for public datasets: the same classes, split and picture size, drawn here.

A study whose dataset cannot be had runs on one, and its figures then say that the study works,
not how good anything is on the real pictures.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from src.config import Count
from src.data.entries import Content, Entry, Origin
from src.data.faceset import Split
from src.data.recipe import Recipe


class Objects(Recipe):
    """Parametric objects, with a test split of their own."""

    kind: Literal["objects"]
    classes: Annotated[int, Field(ge=2)] | dict[str, Count]  # how many, or kinds in each by name
    train_per_class: Annotated[int, Field(ge=2)]
    test_per_class: Count
    seed: Annotated[int, Field(ge=0, lt=2**31)]
    likeness: Annotated[float, Field(ge=0, le=1)] = 0.0  # how much all kinds resemble each other
    size: Annotated[int, Field(ge=16, le=1024)] | None = None  # pixels; null as they are packed

    @property
    def kinds(self) -> dict[str, int]:
        """Class to the number of kinds of object in it."""
        if isinstance(self.classes, dict):
            return self.classes
        width = len(str(self.classes))
        return {f"class_{number:0{width}}": 1 for number in range(1, self.classes + 1)}

    def open(self, where: str, image_size: int) -> Origin:  # noqa: ARG002 - cannot go wrong
        each = self.train_per_class + self.test_per_class
        entries = tuple(
            self._entry(name, number) for name in self.kinds for number in range(1, each + 1)
        )

        def read() -> Iterator[tuple[Entry, Content]]:
            from src.data.objects import render_objects

            rows, first = iter(entries), 0
            for count in self.kinds.values():
                for number in range(each):  # the kinds of a class take turns
                    image, kind = divmod(number, count)
                    pixels = render_objects(
                        [first + kind], 1, self.size or image_size, self.seed, self.likeness, image
                    )
                    yield next(rows), pixels[0]
                first += count

        return Origin(entries, read)

    def _entry(self, name: str, number: int) -> Entry:
        given = Split.train if number <= self.train_per_class else Split.test
        return Entry(f"{given.name}/{name}/{number:04}", name, given)
