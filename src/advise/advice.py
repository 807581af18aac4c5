"""The advice, and its comparison with the results once the experiments have run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from src import paths
from src.advise.rule import Candidate, rank, reasons, strategy_of
from src.advise.situation import Situation, assess
from src.errors import StaleInputError
from src.progress import tracked

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from src.config import Params
    from src.training.device import Compute
    from src.training.job import StartingPoint, TrainingJob


@dataclass(frozen=True)
class Advice:
    """Experiments from the most to the least promising, and the reasons."""

    situation: Situation
    ranking: tuple[Candidate, ...]
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class MeasuredResults:
    """The `best` experiment by validation accuracy, and each experiment's test predictions.

    right: per experiment, (S, N) bool: whether each seed predicted each test image correctly.
    """

    best: str
    right: Mapping[str, NDArray[np.bool_]]

    @classmethod
    def read(cls, names: Iterable[str], starting_point: StartingPoint) -> MeasuredResults:
        """Read the stages' metrics and predictions of the test images.

        Raises StaleInputError if any is missing, or of other images than `starting_point` has.
        """
        from src.evaluation.choice import Contender, choose
        from src.evaluation.predictions import Predictions

        names = tuple(names)
        contenders = [Contender.read(name, paths.train_metrics(name)) for name in names]
        predictions = Predictions.load(paths.PREDICTIONS)
        if missing := [name for name in names if name not in predictions.logits]:
            what = f"has no predictions of {', '.join(missing)}"
            raise StaleInputError(str(paths.PREDICTIONS), what, "run `dvc repro evaluate`")
        predictions.check_are_of(starting_point.faces)
        return cls(choose(contenders).name, {name: predictions.correct(name) for name in names})


@dataclass(frozen=True)
class Outcome:
    """The advice beside the results; `test` accuracies are within [0, 1].

    `best` is chosen by validation accuracy. `p` is that of the paired test between it and the
    advised experiment on the test images. `tau` is Kendall's rank correlation (tau-b) of the
    ranking with test accuracy: 1 is the same order, 0 no relation, -1 the reverse order,
    None where there is no order.
    """

    advised: str
    best: str
    test: Mapping[str, float]
    p: float
    tau: float | None


def advise(params: Params, starting_point: StartingPoint, compute: Compute) -> Advice:
    """Assess the dataset with the source weights, and rank the experiments of params.yaml."""
    from src.training.job import TrainingJob

    jobs = {
        name: TrainingJob.of(name, params, starting_point, paths.SCRATCH, compute=compute)
        for name in params.experiments
    }
    job = next(iter(jobs.values()))
    from_source = job.experiment.model_copy(update={"start": "source"})
    situation = assess(replace(job, experiment=from_source).uncut())
    candidates = [
        _candidate(job, situation.flops_per_second)
        for job in tracked(jobs.values(), "estimating training times", len(jobs))
    ]
    return Advice(situation, rank(situation, candidates), reasons(situation))


def _candidate(job: TrainingJob, flops_per_second: float) -> Candidate:
    from src.models.trainable import trained_blocks, unfreeze
    from src.training.cost import epoch_flops

    network = job.network()
    trained = trained_blocks(network, job.experiment.train, job.recipe)
    unfreeze(network, trained, job.recipe.batchnorm)
    unfrozen = tuple(block for block in network.blocks if block in trained)
    return Candidate(
        job.name,
        strategy_of(unfrozen, network.blocks, job.experiment.start == "scratch"),
        unfrozen,
        sum(p.numel() for p in network.parameters() if p.requires_grad),
        epoch_flops(job) * job.experiment.epochs / flops_per_second,
    )


def outcome(advice: Advice, measured: MeasuredResults) -> Outcome:
    """Compare the advice with the results of the experiments that it ranks."""
    from scipy.stats import kendalltau

    from src.evaluation.significance import paired_test

    names = [candidate.name for candidate in advice.ranking]
    test = {name: float(measured.right[name].mean()) for name in names}
    paired = paired_test(measured.right[names[0]], measured.right[measured.best])
    tau = None
    if len({*test.values()}) > 1:
        tau = float(kendalltau(range(len(names)), [-test[name] for name in names]).statistic)
    return Outcome(names[0], measured.best, test, paired.p, tau)
