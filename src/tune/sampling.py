"""The sampler and the pruner, each a function of the seed and of earlier trials alone."""

from __future__ import annotations

import hashlib
from typing import Any

from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.pruners import BasePruner, MedianPruner, NopPruner, SuccessiveHalvingPruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial

from src.config import Tune

# Of successive halving: Jamieson and Talwalkar, 2016; Li et al., 2020.
MIN_RESOURCE, REDUCTION_FACTOR = 5, 3
MEDIAN_AFTER, MEDIAN_EVERY, MEDIAN_TRIALS = 10, 5, 6  # epochs, epochs, trials to compare with
STARTUP_TRIALS = 10  # drawn at random before TPE (Bergstra et al., 2011) fits its model


class SeededByTrial(BaseSampler):  # type: ignore[misc]
    """A new sampler for every trial, seeded by the study's seed and the trial's number.

    So a study that was stopped and resumed has the same trials as one that was not, and no two
    workers draw the same.
    """

    def __init__(self, kind: str, seed: int) -> None:
        self.kind, self.seed = kind, seed
        self._sampler: BaseSampler = RandomSampler(seed)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Called by Optuna when a trial is asked for."""
        number = hashlib.sha256(f"{self.seed}/{trial.number}".encode()).digest()
        seed = int.from_bytes(number[:4], "little")
        if self.kind == "random":
            self._sampler = RandomSampler(seed)
        else:
            self._sampler = TPESampler(
                seed=seed, n_startup_trials=STARTUP_TRIALS, multivariate=True, group=True
            )
        self._sampler.before_trial(study, trial)

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Delegate to the sampler of this trial."""
        space: dict[str, BaseDistribution] = self._sampler.infer_relative_search_space(study, trial)
        return space

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Delegate to the sampler of this trial."""
        sampled: dict[str, Any] = self._sampler.sample_relative(study, trial, search_space)
        return sampled

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Delegate to the sampler of this trial."""
        return self._sampler.sample_independent(study, trial, param_name, param_distribution)


def build_pruner(tune: Tune) -> BasePruner:
    """The pruner that params.yaml names."""
    if tune.pruner == "halving":
        return SuccessiveHalvingPruner(min_resource=MIN_RESOURCE, reduction_factor=REDUCTION_FACTOR)
    if tune.pruner == "median":
        return MedianPruner(MEDIAN_TRIALS, MEDIAN_AFTER)
    return NopPruner()


def rungs(tune: Tune) -> frozenset[int]:
    """The epochs after which a trial is reported and may be pruned.

    Not after every one, as each report takes transactions.
    """
    if tune.pruner == "halving":
        rung, found = MIN_RESOURCE, set()
        while rung < tune.epochs:
            found.add(rung)
            rung *= REDUCTION_FACTOR
        return frozenset(found)
    if tune.pruner == "median":
        return frozenset(range(MEDIAN_AFTER, tune.epochs, MEDIAN_EVERY))
    return frozenset()
