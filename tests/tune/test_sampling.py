"""How trials are drawn, and which of them go on: by Optuna, as docs/tuning.md says."""

from __future__ import annotations

from statistics import median

import optuna
import pytest

from src.config import Tune
from src.tune.sampling import STARTUP_TRIALS, SeededByTrial, build_pruner, rungs
from src.tune.storage import silence_optuna

BEST = 0.3  # of `x`, within [0, 1]


def distances(sampler: str) -> list[float]:
    """How far from the best each of 40 trials is drawn."""
    silence_optuna()
    study = optuna.create_study(direction="maximize", sampler=SeededByTrial(sampler, seed=0))
    study.optimize(lambda trial: -abs(trial.suggest_float("x", 0, 1) - BEST), n_trials=40)
    return [abs(trial.params["x"] - BEST) for trial in study.trials]


def test_tpe_draws_at_random_first_and_then_near_the_best_trials() -> None:
    tpe, random = distances("tpe"), distances("random")
    assert tpe[:STARTUP_TRIALS] == random[:STARTUP_TRIALS]
    assert 1.5 * median(tpe[STARTUP_TRIALS:]) < median(random[STARTUP_TRIALS:])


@pytest.mark.parametrize(
    ("pruner", "expected"),
    [("halving", {5, 15, 45}), ("median", {*range(10, 100, 5)}), ("none", set())],
)
def test_trials_are_judged_after_these_epochs(pruner: str, expected: set[int]) -> None:
    assert rungs(Tune.model_validate({"pruner": pruner, "epochs": 100})) == expected


def test_no_trial_is_judged_after_its_last_epoch() -> None:
    assert rungs(Tune(epochs=46)) == {5, 15, 45} and rungs(Tune(epochs=45)) == {5, 15}
    assert rungs(Tune(pruner="median", epochs=15)) == {10}


def goes_on(place: int, epoch: int) -> bool:
    """Whether, of nine trials that get to an epoch, the one in this place goes on if it is last."""
    study = optuna.create_study(direction="maximize", pruner=build_pruner(Tune()))
    for number, each in enumerate([*({*range(1, 10)} - {place}), place]):
        trial = study.ask()
        for earlier in range(1, epoch):
            trial.report(number, earlier)  # each is better than all before it
            assert not trial.should_prune()
        trial.report(-each, epoch)
        pruned = trial.should_prune()
    return not pruned


@pytest.mark.parametrize("epoch", [5, 15, 45])
def test_by_successive_halving_the_best_third_goes_on(epoch: int) -> None:
    assert [place for place in range(1, 10) if goes_on(place, epoch)] == [1, 2, 3]
