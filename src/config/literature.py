"""A study: what a text claims, which the report checks."""

from __future__ import annotations

from pydantic import Field, model_validator

from src.config.section import Count, Fraction, Name, Section


class Claim(Section):
    """Something a source text says of its experiments, which the report checks on ours.

    same: their trained weights are bit-identical. sooner: within `epochs`, the first reaches a
    validation accuracy that the second never does. better: the first names more test images
    right. Exactly one of the three.
    """

    says: str = Field(min_length=1)
    same: tuple[Name, Name] | None = None
    sooner: tuple[Name, Name] | None = None
    better: tuple[Name, Name] | None = None
    epochs: Count = 2

    @model_validator(mode="after")
    def _one_kind(self) -> Claim:
        if len(self.pairs) != 1:
            raise ValueError("a claim has exactly one of `same`, `sooner` and `better`")
        return self

    @property
    def pairs(self) -> dict[str, tuple[str, str]]:
        """Kind of claim to the two experiments it is about."""
        given = {kind: getattr(self, kind) for kind in ("same", "sooner", "better")}
        return {kind: pair for kind, pair in given.items() if pair}


class LiteratureStudy(Section):
    """What a study rebuilds: a text, its figures and its claims."""

    text: str = Field(min_length=1)  # author, title, year
    dataset: str = Field(min_length=1)  # that the published figures are for
    published: dict[Name, Fraction] = Field(default_factory=dict)  # test accuracy by experiment
    claims: tuple[Claim, ...] = ()
