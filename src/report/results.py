"""The comparison as one object: every row, the best of them, and what may be said about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from src.config import Experiment
from src.evaluation.choice import Contender, choose
from src.evaluation.metrics import Proportion, Score
from src.evaluation.predictions import Predictions
from src.evaluation.significance import PairedTest, holm, mcnemar

ALPHA = 0.05
REFERENCE = "Baseline"


@dataclass(frozen=True)
class TrainingSummary:
    """What training one experiment gave; accuracies within [0, 1].

    `selected` says whether validation chose the epoch that was kept: `val` is then the largest of
    `epochs` accuracies on the same images, too high on average, and so is its interval.
    """

    epochs: int
    best_epoch: int
    trainable_parameters: int
    train_accuracy: float
    val: Proportion
    selected: bool


@dataclass(frozen=True)
class Difference:
    """A paired test on the test images; `p` is adjusted for all the tests of its family."""

    paired: PairedTest
    p: float

    @property
    def beyond_chance(self) -> bool:
        """Whether the difference is more than luck with these test images explains."""
        return self.p < ALPHA


@dataclass(frozen=True)
class ExperimentResult:
    """One experiment: what it was, what it reached, and how it compares.

    `against_reference` and `against_best` are None in the row that they compare with.
    """

    name: str
    experiment: Experiment
    trained: TrainingSummary
    test: Score
    published: float | None  # test accuracy of the row that it rebuilds
    against_reference: Difference | None
    against_best: Difference | None

    @property
    def trains(self) -> str:
        """Which blocks train, in words."""
        everything = "all" in self.experiment.train
        said = ["everything" if everything else " + ".join(self.experiment.train)]
        if self.experiment.start == "scratch":
            said.append("from scratch")
        factors = self.experiment.multipliers or {}
        said += [f"{block} × {factor:g}" for block, factor in factors.items()]
        if self.experiment.features:
            said.append(f"on {self.experiment.features}")
        return ", ".join(said)

    @property
    def unfrozen(self) -> tuple[str, ...]:
        """Blocks that train besides the head; `all` where everything does."""
        return tuple(block for block in self.experiment.train if block != "head")

    @property
    def head(self) -> str:
        """The head, in words."""
        return self.experiment.head.label


@dataclass(frozen=True)
class Results:
    """All rows in the order of params.yaml. `reference` is Baseline, or the first row without one.

    `best` is chosen by validation accuracy (`evaluation.choice`). `majority` is the share of test
    images that the commonest subject has: the accuracy of naming it always.
    """

    rows: tuple[ExperimentResult, ...]
    reference: ExperimentResult
    best: ExperimentResult
    subjects: int
    majority: float

    @property
    def chance(self) -> float:
        """Accuracy of guessing among equally likely subjects."""
        return 1 / self.subjects

    @property
    def balanced(self) -> bool:
        """Whether accuracy says what it seems to: naming one subject always would not pay."""
        return self.majority < 1.5 * self.chance

    @property
    def selected(self) -> tuple[ExperimentResult, ...]:
        """Rows whose epoch was chosen on validation."""
        return tuple(row for row in self.rows if row.trained.selected)

    @property
    def as_good(self) -> tuple[ExperimentResult, ...]:
        """Rows that the test images cannot tell from the best."""
        return tuple(
            row
            for row in self.rows
            if row.against_best is not None and not row.against_best.beyond_chance
        )

    def beyond_chance(self, sign: int) -> tuple[ExperimentResult, ...]:
        """Rows that beat the reference (sign 1), or lose to it (-1), by more than luck."""
        return tuple(
            row
            for row in self.rows
            if row.against_reference is not None
            and row.against_reference.beyond_chance
            and row.against_reference.paired.difference * sign > 0
        )


def compare_experiments(
    experiments: Mapping[str, Experiment],
    trained: Mapping[str, TrainingSummary],
    scores: Mapping[str, Score],
    predictions: Predictions,
    published: Mapping[str, float] | None = None,
) -> Results:
    """Put together the rows; two families of paired tests, each adjusted for its own number.

    `published` is the test accuracy of each row that rebuilds a published one.
    """
    names = tuple(experiments)
    reference = REFERENCE if REFERENCE in experiments else names[0]
    best = choose(
        Contender(name, trained[name].val.value, trained[name].trainable_parameters)
        for name in names
    ).name
    to_reference = _differences(names, reference, predictions)
    to_best = _differences(names, best, predictions)
    rows = {
        name: ExperimentResult(
            name=name,
            experiment=experiments[name],
            trained=trained[name],
            test=scores[name],
            published=(published or {}).get(name),
            against_reference=to_reference.get(name),
            against_best=to_best.get(name),
        )
        for name in names
    }
    labels = predictions.labels
    return Results(
        tuple(rows.values()),
        rows[reference],
        rows[best],
        len(predictions.subjects),
        float(np.bincount(labels).max() / len(labels)),
    )


def _differences(
    names: tuple[str, ...], other: str, predictions: Predictions
) -> dict[str, Difference]:
    """Each of `names` less `other`, on the same images."""
    right = {name: predictions.correct(name) for name in names}
    tests = {name: mcnemar(right[name], right[other]) for name in names if name != other}
    adjusted = holm([test.p for test in tests.values()])
    return {
        name: Difference(test, p) for (name, test), p in zip(tests.items(), adjusted, strict=True)
    }
