"""The experiments compared: their results, the best one, and the tests of their differences."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from src.config import Experiment
from src.evaluation.choice import Contender, choose, reference_of
from src.evaluation.metrics import Proportion, Score
from src.evaluation.predictions import Predictions
from src.evaluation.significance import AdjustedTest, adjust, paired_test


@dataclass(frozen=True)
class TrainingMetrics:
    """Metrics of one experiment's training; accuracies are means over its seeds, within [0, 1].

    selected: whether the epoch that was kept was chosen by validation accuracy. `val` is then
    the largest of `epochs` accuracies on the same images: it and its interval are optimistic.
    """

    epochs: int
    best_epoch: int
    trainable_parameters: int
    train_accuracy: float
    val: Proportion
    selected: bool


@dataclass(frozen=True)
class TrainingSummary(TrainingMetrics):
    """The same, with what the training cost.

    seconds: on the clock, for each seed. flops: of the layers in training one seed.
    improving: whether it was still learning when it ended.
    """

    seconds: float
    flops: float
    improving: bool


@dataclass(frozen=True)
class ExperimentResult:
    """One experiment with its results and its tests against the reference and the best.

    unfrozen: the blocks below the head that it trains; `all` where that is every one.
    `against_reference` and `against_best` are None for the reference and the best themselves.
    """

    name: str
    experiment: Experiment
    unfrozen: tuple[str, ...]
    trained: TrainingSummary
    test: Score
    published: float | None  # test accuracy of the published experiment that it rebuilds
    against_reference: AdjustedTest | None
    against_best: AdjustedTest | None

    @property
    def trains(self) -> str:
        """Which blocks it trains, in words."""
        everything = "all" in self.experiment.train
        said = ["everything" if everything else " + ".join(self.experiment.train)]
        if self.experiment.start == "scratch":
            said.append("from scratch")
        factors = self.experiment.multipliers or {}
        for factor, blocks in groupby(factors, factors.__getitem__):
            first, *others = blocks
            said.append(f"{first}{f' to {others[-1]}' if others else ''} × {factor:g}")
        starts = self.experiment.unfreeze_at or {}
        said += [f"{block} from epoch {epoch}" for block, epoch in starts.items() if epoch > 1]
        ends = self.experiment.freeze_at or {}
        said += [f"{block} to epoch {epoch - 1}" for block, epoch in ends.items()]
        if self.experiment.features:
            said.append(f"on {self.experiment.features}")
        return ", ".join(said)

    @property
    def improving(self) -> bool:
        """Whether it was still learning when its epochs ended; a classical head is fitted once."""
        return self.trained.improving and not self.experiment.head.classical

    @property
    def head(self) -> str:
        """The head, in words."""
        return self.experiment.head.label


@dataclass(frozen=True)
class Comparison:
    """All experiments in the order of params.yaml.

    reference: Baseline, or the first experiment where there is no Baseline. best: by validation
    accuracy (`evaluation.choice`). majority: the share of test images that are of the most common
    subject, which is the accuracy of always predicting it. study: the name of the
    literature study whose rows they are, outside the workspace; None without one.
    """

    rows: tuple[ExperimentResult, ...]
    reference: ExperimentResult
    best: ExperimentResult
    subjects: int
    majority: float
    study: str | None

    @property
    def chance(self) -> float:
        """Accuracy of a uniformly random guess."""
        return 1 / self.subjects

    @property
    def balanced(self) -> bool:
        """Whether always predicting the most common subject is hardly better than guessing."""
        return self.majority < min(1.5 * self.chance, self.chance + 0.1)

    @property
    def selected(self) -> tuple[ExperimentResult, ...]:
        """Experiments whose kept epoch was chosen by validation accuracy."""
        return tuple(row for row in self.rows if row.trained.selected)

    @property
    def published(self) -> tuple[ExperimentResult, ...]:
        """Experiments whose accuracy was published, on another dataset."""
        return tuple(row for row in self.rows if row.published)

    @property
    def improving(self) -> tuple[ExperimentResult, ...]:
        """Experiments that were still learning when their epochs ended."""
        return tuple(row for row in self.rows if row.improving)

    @property
    def front(self) -> tuple[ExperimentResult, ...]:
        """The Pareto front, fastest first: no other row is as fast and more accurate on test."""
        found: list[ExperimentResult] = []
        for row in sorted(self.rows, key=lambda row: (row.trained.seconds, -row.test.accuracy)):
            if not found or row.test.accuracy > found[-1].test.accuracy:
                found.append(row)
        return tuple(found)

    @property
    def as_good(self) -> tuple[ExperimentResult, ...]:
        """Experiments that the tests cannot tell apart from the best."""
        return tuple(
            row for row in self.rows if row is not self.best and not self._beside_best(row)
        )

    @property
    def beating(self) -> tuple[ExperimentResult, ...]:
        """Experiments that are better on test than the best by more than chance.

        Validation and test then disagree; the best stays the best, as test images choose nothing.
        """
        return tuple(row for row in self.rows if self._beside_best(row) > 0)

    def _beside_best(self, row: ExperimentResult) -> int:
        """1 where a row is better than the best by more than chance, -1 where worse, 0 otherwise.

        The reference meets the best in both families of tests, either of which decides.
        """
        again = -_sign(self.best.against_reference) if row is self.reference else 0
        return _sign(row.against_best) or again

    @property
    def simplest(self) -> ExperimentResult:
        """The row with the fewest trainable parameters that is not shown to be worse than the best.

        Of those, too, that differ from the reference by more than chance can explain.
        """
        better = self.beyond_chance(1)
        candidates = (self.best, *(row for row in self.as_good if row in better))
        return min(candidates, key=lambda row: row.trained.trainable_parameters)

    def beyond_chance(self, sign: int) -> tuple[ExperimentResult, ...]:
        """Experiments better (sign 1) or worse (-1) than the reference by more than chance."""
        return tuple(row for row in self.rows if _sign(row.against_reference) == sign)


def _sign(test: AdjustedTest | None) -> int:
    """1 or -1 as the difference is, if it is larger than chance can explain; 0 otherwise."""
    if test is None or not test.beyond_chance:
        return 0
    return 1 if test.paired.difference > 0 else -1


def compare_experiments(
    experiments: Mapping[str, Experiment],
    trained: Mapping[str, TrainingSummary],
    scores: Mapping[str, Score],
    predictions: Predictions,
    *,
    unfrozen: Mapping[str, tuple[str, ...]],
    published: Mapping[str, float] | None = None,
    study: str | None = None,
) -> Comparison:
    """Test every experiment against the reference, and against the best: two families of tests.

    unfrozen: the blocks below its head that each trains, as the rows have them. published: test
    accuracy of the published experiments, by the name of ours that rebuilds it. study: the name of
    the literature study that they are of.
    """
    names = tuple(experiments)
    reference = reference_of(names)
    best = choose(
        Contender(name, trained[name].val.value, trained[name].trainable_parameters)
        for name in names
    ).name
    to_reference = _tests_against(reference, names, predictions)
    to_best = _tests_against(best, names, predictions)
    rows = {
        name: ExperimentResult(
            name=name,
            experiment=experiments[name],
            unfrozen=unfrozen[name],
            trained=trained[name],
            test=scores[name],
            published=(published or {}).get(name),
            against_reference=to_reference.get(name),
            against_best=to_best.get(name),
        )
        for name in names
    }
    labels = predictions.labels
    return Comparison(
        tuple(rows.values()),
        rows[reference],
        rows[best],
        len(predictions.subjects),
        float(np.bincount(labels).max() / len(labels)),
        study,
    )


def _tests_against(
    other: str, names: Collection[str], predictions: Predictions
) -> dict[str, AdjustedTest]:
    """Test each of `names` but `other` against it on the same images, as one family."""
    correct = {name: predictions.correct(name) for name in names}
    tests = {name: paired_test(correct[name], correct[other]) for name in names if name != other}
    return dict(zip(tests, adjust(list(tests.values())), strict=True))
