"""A search by a recipe with `flip_test` scores heads by both views, as their networks answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from src.training.engine import run_job
from src.tune.heartbeat import Heartbeats
from src.tune.objective import Objective
from src.tune.search import Search, history_of
from src.tune.space import TrialParams
from src.tune.storage import StaleTrials, open_storage, parse_url, silence_optuna
from src.tune.study import open_study
from tests.tune.conftest import tuned


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("flip_test", [False, True])
def test_a_trial_is_scored_as_its_retraining_is(flip_test: bool) -> None:
    silence_optuna()
    params = tuned(trials=1, epochs=2, pruner="none")
    recipe = params.recipes["tuned"].model_copy(update={"flip_test": flip_test})
    params = params.model_copy(update={"recipes": params.recipes | {"tuned": recipe}})
    url, objective = parse_url(params.tune.storage), Objective.load(params)
    Path("mlruns").mkdir(exist_ok=True)
    study = open_study(open_storage(url, 1), params, objective.definition)
    with Heartbeats(study, None) as heartbeats:
        Search(study, objective, StaleTrials(study, url, 1), heartbeats).run()
    (trial,) = study.trials
    job = objective.job(TrialParams.of(trial.params, params.tune.space))
    alone = run_job(job, lambda _epoch: None, objective.features)
    found = [epoch.val_loss for epoch in history_of(trial)]
    assert found == pytest.approx([epoch.val_loss for epoch in alone.history], rel=1e-5)
    assert trial.value == pytest.approx(alone.chosen.val_accuracy)
