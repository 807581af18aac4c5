"""Settings of the dataset: where its images come from, how they are packed and audited."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from src.config.section import Count, Fraction, Name, Policy, Section


class Audit(Section):
    """The policy for each kind of finding; `drop` never drops test images."""

    unreadable: Policy = "warn"
    empty_subject: Policy = "warn"
    duplicate: Policy = "drop"
    near_duplicate: Policy = "warn"
    conflicting_label: Policy = "warn"
    near_distance: Annotated[int, Field(ge=0, le=16)] = 4  # bits of 64 that may differ


class Data(Section):
    """Where the faces come from and how they are packed and split."""

    origin: str = Field(min_length=1)
    image_size: Annotated[int, Field(ge=16, le=1024)] = 64  # pixels, square
    fit: Literal["crop", "stretch", "pad"] = "crop"  # how a non-square image becomes square
    val_fraction: Fraction = 0.15  # of each subject's training images
    test_fraction: Fraction = 0.2  # of each subject's images, where the origin has no test split
    max_pixels: Count = 50_000_000  # a larger image is refused before it is decoded
    # The subjects of each class, as patterns; {} makes every subject a class.
    classes: dict[Name, tuple[str, ...]] = Field(default_factory=dict)
    audit: Audit = Audit()
