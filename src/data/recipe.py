"""Recipes: small YAML files that say how to make or fetch a dataset.

`kind` chooses a class of RECIPES, the other keys are its fields. A new kind is one more class
there, with a method that opens its pictures.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from src.config import Count, Section, read_yaml, validate
from src.data.entries import Content, Entry, Origin, Pixels
from src.data.faceset import Split
from src.errors import ConfigError, OriginError


class Recipe(Section, ABC):
    """The fields of one kind of recipe, and how its pictures come about."""

    kind: str

    @abstractmethod
    def open(self, where: str, image_size: int) -> Origin:
        """The pictures; what is drawn is drawn `image_size` pixels square.

        Raises OriginError naming `where`, the recipe's file.
        """


class Synthetic(Recipe):
    """Parametric faces, rendered here, with a test split of their own."""

    kind: Literal["synthetic"]
    subjects: Annotated[int, Field(ge=2)]
    train_per_subject: Annotated[int, Field(ge=2)]
    test_per_subject: Count
    seed: Annotated[int, Field(ge=0, lt=2**31)]

    def open(self, where: str, image_size: int) -> Origin:  # noqa: ARG002 - cannot go wrong
        each = self.train_per_subject + self.test_per_subject
        width = max(2, len(str(self.subjects)))
        entries = tuple(
            self._entry(f"subject_{subject:0{width}}", number)
            for subject in range(1, self.subjects + 1)
            for number in range(1, each + 1)
        )

        def read() -> Iterator[tuple[Entry, Content]]:
            from src.data.synthetic import render_subjects

            images = render_subjects(self.subjects, each, image_size, self.seed)
            return zip(entries, images, strict=True)

        return Origin(entries, read)

    def _entry(self, subject: str, number: int) -> Entry:
        given = Split.train if number <= self.train_per_subject else Split.test
        return Entry(f"{given.name}/{subject}/{number:04}", subject, given)


class Fetched(Recipe):
    """A dataset that scikit-learn downloads once, verifies and keeps."""

    data_home: str | None = None  # where it is kept; null is scikit-learn's own folder
    download_if_missing: bool = True

    def fetch(self, where: str, fetcher: Callable[..., Any], **options: object) -> Any:
        """Call one of scikit-learn's fetchers; raises OriginError where that fails."""
        try:
            with redirect_stdout(StringIO()):  # it prints where it downloads from
                return fetcher(
                    data_home=self.data_home,
                    download_if_missing=self.download_if_missing,
                    **options,
                )
        except (OSError, ValueError) as error:
            raise OriginError(
                where,
                f"{self.kind} could not be had ({error})",
                "go online with download_if_missing: true, or set data_home to where it is",
            ) from None


class Olivetti(Fetched):
    """The Olivetti faces: 40 subjects, 10 grey pictures each, 64x64 (Samaria and Harter, 1994)."""

    kind: Literal["olivetti"]

    def open(self, where: str, image_size: int) -> Origin:  # noqa: ARG002 - pictures have their own
        from sklearn.datasets import fetch_olivetti_faces

        bunch = self.fetch(where, fetch_olivetti_faces)
        names = [f"subject_{label + 1:02}" for label in bunch.target]
        return _labelled(bunch.images, names)


class Lfw(Fetched):
    """Labeled Faces in the Wild, cropped to the face in colour (Huang et al., 2007)."""

    kind: Literal["lfw"]
    min_faces_per_person: Annotated[int, Field(ge=3)] = 20
    funneled: bool = True  # aligned by funneling

    def open(self, where: str, image_size: int) -> Origin:  # noqa: ARG002 - pictures have their own
        from sklearn.datasets import fetch_lfw_people

        bunch = self.fetch(
            where,
            fetch_lfw_people,
            funneled=self.funneled,
            min_faces_per_person=self.min_faces_per_person,
            color=True,
            resize=None,
        )
        return _labelled(bunch.images, [bunch.target_names[label] for label in bunch.target])


RECIPES: Mapping[str, type[Recipe]] = MappingProxyType(
    {"synthetic": Synthetic, "olivetti": Olivetti, "lfw": Lfw}
)


def open_recipe(path: Path, image_size: int) -> Origin:
    """Read a recipe and open its pictures; raises ConfigError naming a wrong key, OriginError."""
    from src.data.published import PUBLISHED
    from src.data.stand_in import Objects

    raw = read_yaml(path)
    kind = raw.get("kind") if isinstance(raw, dict) else None
    recipes: dict[str, type[Recipe]] = {**RECIPES, "objects": Objects, **PUBLISHED}
    if not isinstance(kind, str) or kind not in recipes:
        mend = f"use one of {', '.join(recipes)} (recipes of weights belong to weights.origin)"
        raise ConfigError(f"{path}: kind", f"is {kind!r}", mend)
    return validate(recipes[kind], raw, str(path)).open(str(path), image_size)


def _labelled(images: Any, subjects: Sequence[str]) -> Origin:
    """Pictures (N, H, W) or (N, H, W, 3) in [0, 1], numbered within each subject in their order."""
    counts: dict[str, int] = {}
    entries = []
    for subject in map(str, subjects):
        counts[subject] = counts.get(subject, 0) + 1
        entries.append(Entry(f"{subject}/{counts[subject]:04}", subject))

    def read() -> Iterator[tuple[Entry, Content]]:
        for entry, image in zip(entries, images, strict=True):
            pixels: Pixels = (image * 255).round().astype(np.uint8)
            yield entry, pixels

    return Origin(tuple(entries), read)
