"""Datasets that scikit-learn downloads once, verifies and keeps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stdout
from io import StringIO
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from src.data.entries import Content, Entry, Origin, Pixels
from src.data.origins.base import OriginFile
from src.errors import OriginError


class SklearnDataset(OriginFile):
    """A dataset behind one of scikit-learn's `fetch_` functions."""

    data_home: str | None = None
    """The folder that keeps the download; null for scikit-learn's own."""
    download_if_missing: bool = True
    """Download the dataset where the folder does not have it yet; false fails instead."""

    def fetch(self, where: str, fetcher: Callable[..., Any], **options: object) -> Any:
        """Call one of scikit-learn's fetchers; raises OriginError if it fails."""
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
                f"{self.kind} could not be loaded ({error})",
                "go online with download_if_missing: true, or set data_home to where it is",
            ) from None


class Olivetti(SklearnDataset):
    """The Olivetti faces: 40 subjects, 10 grey images each, 64x64 (Samaria and Harter, 1994)."""

    kind: Literal["olivetti"]

    def open(self, where: str, image_size: int) -> Origin:
        from sklearn.datasets import fetch_olivetti_faces

        bunch = self.fetch(where, fetch_olivetti_faces)
        return _origin(bunch.images, [f"subject_{label + 1:02}" for label in bunch.target])


class Lfw(SklearnDataset):
    """Labeled Faces in the Wild, cropped to the face in colour (Huang et al., 2007)."""

    kind: Literal["lfw"]
    min_faces_per_person: Annotated[int, Field(ge=3)] = 20
    """Leave out subjects with fewer images."""
    funneled: bool = True
    """Use the images that were aligned by funneling."""

    def open(self, where: str, image_size: int) -> Origin:
        from sklearn.datasets import fetch_lfw_people

        bunch = self.fetch(
            where,
            fetch_lfw_people,
            funneled=self.funneled,
            min_faces_per_person=self.min_faces_per_person,
            color=True,
            resize=None,
        )
        return _origin(bunch.images, [str(bunch.target_names[label]) for label in bunch.target])


def _origin(images: Any, subjects: Sequence[str]) -> Origin:
    """Images (N, H, W) or (N, H, W, 3) in [0, 1], each subject's numbered in their order."""
    counts: dict[str, int] = {}
    entries = []
    for subject in subjects:
        counts[subject] = counts.get(subject, 0) + 1
        entries.append(Entry(f"{subject}/{counts[subject]:04}", subject))

    def read() -> Iterator[tuple[Entry, Content]]:
        for entry, image in zip(entries, images, strict=True):
            pixels: Pixels = (image * 255).round().astype(np.uint8)
            yield entry, pixels

    return Origin(tuple(entries), read)
