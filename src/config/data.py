"""Settings of the dataset: where its images come from, how they are packed and audited."""

from __future__ import annotations

import posixpath
import unicodedata
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from src.config.section import Fraction, Name, Policy, Section


def _pattern(text: str) -> str:
    """`text` with accents stored as in the names of subjects."""
    return unicodedata.normalize("NFC", text)


# One spelling for each path, since decisions about images name it, too.
OriginPath = Annotated[str, Field(min_length=1), AfterValidator(posixpath.normpath)]
Pattern = Annotated[str, AfterValidator(_pattern)]


class Audit(Section):
    """The policy for each kind of finding; `drop` takes training and validation images, never test.

    What cannot be used, an unreadable file or an empty subject, is left out unless the policy is
    `fail`. Of pairs that are nearly the same, `warn` lists the first 4,096 of each kind and counts
    the rest.
    """

    unreadable: Policy = "warn"
    """Files that are not images, or are broken."""
    empty_subject: Policy = "warn"
    """Subjects without a single usable image."""
    duplicate: Policy = "drop"
    """The same pixels twice, across splits or within training."""
    near_duplicate: Policy = "warn"
    """Nearly the same image in two splits."""
    conflicting_label: Policy = "warn"
    """The same image, or nearly the same, under two subjects."""
    near_distance: Annotated[int, Field(ge=0, le=16)] = 4
    """How many bits of a 64-bit perceptual hash may differ between near-duplicates."""


class Data(Section):
    """Where the faces come from and how they are packed and split."""

    origin: OriginPath
    """An origin file (.yaml), an archive (.zip, .tar, .tar.gz, .tar.bz2, .tar.xz) or a folder, of
    images with sides of 8 to 16,384 pixels."""
    image_size: Annotated[int, Field(ge=16, le=1024)] = 64
    """Width and height in pixels; faces are packed as square RGB."""
    fit: Literal["crop", "stretch", "pad"] = "crop"
    """How an image that is not square becomes square."""
    val_fraction: Fraction = 0.15
    """Share of each subject's training images that is held out for every choice."""
    test_fraction: Fraction = 0.2
    """Share of each subject's images that is held out, where the origin has no test split."""
    max_pixels: Annotated[int, Field(ge=1, le=178_956_970)] = 50_000_000
    """An image with more pixels is refused before it is decoded; Pillow refuses more than
    178,956,970 itself."""
    max_bytes: Annotated[int, Field(ge=1, le=2**30)] = 64 * 2**20
    """A file with more bytes is not read: in a folder it counts as unreadable, and an archive that
    holds one is refused."""
    classes: dict[Name, tuple[Pattern, ...]] = Field(default_factory=dict)
    """Patterns of subjects for each class; `{}` makes every subject a class of its own."""
    corrections: Annotated[str, Field(min_length=1)] = "data/corrections.csv"
    """Decisions about single images whose label is in doubt, which `dataset` applies."""
    audit: Audit = Audit()
    """What to do about each kind of finding."""
