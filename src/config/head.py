"""The classifiers that can sit on the features, and how params.yaml asks for one.

Another kind is a row of `HEAD_KINDS`, and its module in `src.models.head` or its scikit-learn
classifier in `src.training.classical`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from src.config.section import Probability, Section


@dataclass(frozen=True)
class HeadKind:
    """`classical` heads are fitted once by scikit-learn on frozen features, the others trained.

    keeps_features: whether the head contains the features of the training images.
    """

    label: str  # in tables
    classical: bool = True
    keeps_features: bool = False


HEAD_KINDS: Mapping[str, HeadKind] = {
    "mlp": HeadKind("MLP", classical=False),
    "svm": HeadKind("linear SVM"),
    "logistic": HeadKind("logistic regression"),
    "centroid": HeadKind("nearest centroid"),
    "knn": HeadKind("k nearest neighbours", keeps_features=True),
}


def _known(kind: str) -> str:
    if kind not in HEAD_KINDS:
        raise ValueError(f"no such kind of head; use {', '.join(HEAD_KINDS)}")
    return kind


class Head(Section):
    """An `mlp` is linear where `hidden` is empty; else Linear, Dropout, ReLU per hidden layer."""

    kind: Annotated[
        str, AfterValidator(_known), Field(json_schema_extra={"enum": [*HEAD_KINDS]})
    ] = "mlp"
    """The kind of classifier; all but `mlp` are fitted once on frozen features by scikit-learn."""
    hidden: tuple[Annotated[int, Field(ge=1, le=16384)], ...] = ()
    """Units of each hidden layer."""
    dropout: tuple[Probability, ...] = ()
    """Dropout probability of each hidden layer; `[]` for none."""

    @model_validator(mode="after")
    def _one_dropout_per_layer(self) -> Head:
        if len(self.dropout) not in (0, len(self.hidden)):
            raise ValueError(
                f"{len(self.dropout)} dropout rates for {len(self.hidden)} hidden layers; "
                "give one per layer, or [] for none"
            )
        return self

    @model_validator(mode="after")
    def _only_an_mlp_has_layers(self) -> Head:
        if self.kind != "mlp" and self.hidden:
            raise ValueError(f"a {self.kind} head has no hidden layers; leave `hidden` empty")
        return self

    @property
    def classical(self) -> bool:
        """Whether scikit-learn fits it."""
        return HEAD_KINDS[self.kind].classical

    @property
    def keeps_features(self) -> bool:
        """Whether it contains the features of the training images."""
        return HEAD_KINDS[self.kind].keeps_features

    @property
    def rates(self) -> tuple[float, ...]:
        """The dropout rate of each hidden layer."""
        return self.dropout or (0.0,) * len(self.hidden)

    @property
    def label(self) -> str:
        """The head as tables name it: `linear`, `512–256, dropout 0.5`, or its kind."""
        if self.kind != "mlp":
            return HEAD_KINDS[self.kind].label
        if not self.hidden:
            return "linear"
        rates = sorted(set(self.rates))
        dropout = f", dropout {'/'.join(f'{rate:g}' for rate in rates)}" if any(rates) else ""
        return "–".join(map(str, self.hidden)) + dropout
