"""Advice as one object, and what became of it once the experiments have run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from src.advise.rule import Candidate, rank, reasons, strategy_of
from src.advise.situation import Situation, assess
from src.errors import StaleInputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from src.config import Params
    from src.training.device import Compute
    from src.training.job import StartingPoint, TrainingJob


@dataclass(frozen=True)
class Advice:
    """Experiments from the most to the least promising, and why."""

    situation: Situation
    ranking: tuple[Candidate, ...]
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class MeasuredResults:
    """What the experiments reached: the `best` by validation, and who was `right` on the test.

    right: per experiment (N,) bool, one for each of the same N test images.
    """

    best: str
    right: Mapping[str, NDArray[np.bool_]]

    @classmethod
    def read(cls, names: Iterable[str], metrics: Path, predictions: Path) -> MeasuredResults:
        """From `metrics/` and the stored answers; raises StaleInputError where one is missing."""
        from src.evaluation.choice import Contender, choose
        from src.evaluation.predictions import Predictions

        names = tuple(names)
        contenders = [Contender.read(name, metrics / "train" / f"{name}.json") for name in names]
        answers = Predictions.load(predictions)
        if missing := [name for name in names if name not in answers.logits]:
            what = f"holds no answers of {', '.join(missing)}"
            raise StaleInputError(str(predictions), what, "run `dvc repro evaluate`")
        return cls(choose(contenders).name, {name: answers.correct(name) for name in names})


@dataclass(frozen=True)
class Outcome:
    """The advice beside what was measured: accuracies of the test split within [0, 1].

    `best` is chosen by validation accuracy. `p` is of the exact McNemar test between it and
    the advised one on the same test images. `tau` is Kendall's rank correlation (tau-b) of the
    ranking with test accuracy: 1 the same order, 0 none, -1 the reverse.
    """

    advised: str
    best: str
    test: Mapping[str, float]
    p: float
    tau: float


def advise(params: Params, starting_point: StartingPoint, compute: Compute) -> Advice:
    """Assess the dataset before the source weights, and rank params.yaml's experiments."""
    from src.training.job import TrainingJob

    fits = {
        name: TrainingJob.of(name, params, starting_point, Path(".cache"), compute=compute)
        for name in params.experiments
    }
    fit = next(iter(fits.values()))
    from_source = fit.experiment.model_copy(update={"start": "source"})
    situation = assess(replace(fit, experiment=from_source).uncut())
    candidates = [_candidate(fit, situation.flops_per_second) for fit in fits.values()]
    return Advice(situation, rank(situation, candidates), reasons(situation))


def _candidate(fit: TrainingJob, flops_per_second: float) -> Candidate:
    from src.models.trainable import trained_blocks, unfreeze
    from src.training.cost import epoch_flops

    network = fit.network()
    trained = trained_blocks(network, fit.experiment.train, fit.recipe)
    unfreeze(network, trained, fit.recipe.batchnorm)
    unfrozen = tuple(block for block in network.blocks if block in trained)
    return Candidate(
        fit.name,
        strategy_of(unfrozen, network.blocks, fit.experiment.start == "scratch"),
        unfrozen,
        sum(p.numel() for p in network.parameters() if p.requires_grad),
        epoch_flops(fit) * fit.experiment.epochs / flops_per_second,
    )


def outcome(advice: Advice, measured: MeasuredResults) -> Outcome:
    """Hold the advice against what was measured of the experiments that it ranks."""
    from scipy.stats import kendalltau

    from src.evaluation.significance import mcnemar

    names = [candidate.name for candidate in advice.ranking]
    test = {name: float(measured.right[name].mean()) for name in names}
    paired = mcnemar(measured.right[names[0]], measured.right[measured.best])
    tau = kendalltau(range(len(names)), [-test[name] for name in names]).statistic
    return Outcome(names[0], measured.best, test, paired.p, float(tau))
