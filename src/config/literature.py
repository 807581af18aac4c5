"""A literature study: what a text claims, which the report checks."""

from __future__ import annotations

from pydantic import Field, model_validator

from src.config.section import Count, Fraction, Name, Section


class Claim(Section):
    """A text's claim about its experiments, which the report checks on ours.

    Gives exactly one of `same`, `sooner` and `better`.
    """

    says: str = Field(min_length=1)
    """The claim in words."""
    same: tuple[Name, Name] | None = None
    """Two experiments whose trained weights are bit-identical."""
    sooner: tuple[Name, Name] | None = None
    """Within `epochs`, the first reaches a validation accuracy that the second never reaches."""
    better: tuple[Name, Name] | None = None
    """The first classifies more test images correctly than the second."""
    epochs: Count = 2
    """Epochs that `sooner` allows."""

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
    """What a literature study reproduces: a text, its published accuracies and its claims."""

    text: str = Field(min_length=1)
    """Author, title and year of the text."""
    dataset: str = Field(min_length=1)
    """The dataset that the published accuracies are for."""
    published: dict[Name, Fraction] = Field(default_factory=dict)
    """Published test accuracy by experiment."""
    claims: tuple[Claim, ...] = ()
    """What the text claims."""
