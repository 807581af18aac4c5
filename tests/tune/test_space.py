"""From trial parameters to heads and back."""

from __future__ import annotations

import optuna
import pytest

from src.config import BEST_NAME, Params, Space, load_params
from src.errors import ConfigError
from src.tune.space import TrialParams, published_heads, suggest
from tests.shipped import SHIPPED

FIXED = Space(learning_rate=(0.001,), weight_decay=(0.05,), batch_size=(64,), layers=(2,))


@pytest.fixture
def params() -> Params:
    return load_params(SHIPPED / "params.yaml")


def narrowed(params: Params, **space: object) -> Params:
    found = params.tune.space.model_copy(update=space)
    return params.model_copy(update={"tune": params.tune.model_copy(update={"space": found})})


def test_every_suggestion_lies_in_the_space_and_is_read_back_from_its_parameters() -> None:
    study, space = optuna.create_study(sampler=optuna.samplers.RandomSampler(0)), Space()
    depths = set()
    for _ in range(40):
        trial = study.ask()
        trial_params = suggest(trial, space)
        depths.add(len(trial_params.hidden))
        assert trial_params == TrialParams.of(trial.params, space)
        assert all(64 <= width <= 2048 for width in trial_params.hidden)
        assert all(0 <= rate <= 0.7 for rate in trial_params.dropout)
        assert 1e-4 <= trial_params.learning_rate <= 1e-2
        assert trial_params.batch_size in space.batch_size
    assert depths == {1, 2, 3}


def test_what_is_fixed_is_no_parameter_of_a_trial() -> None:
    trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(0)).ask()
    trial_params = suggest(trial, FIXED)
    assert set(trial.params) == {"width_1", "width_2", "dropout_1", "dropout_2"}
    assert (trial_params.learning_rate, trial_params.weight_decay) == (0.001, 0.05)
    assert trial_params.batch_size == 64


def test_the_six_published_heads_are_found_and_rebuilt_exactly(params: Params) -> None:
    heads = published_heads(params)
    assert len(heads) == 6
    for name, chosen in heads.items():
        trial_params = TrialParams.of(chosen, params.tune.space)
        assert trial_params.hidden == params.experiments[name].head.hidden
        assert trial_params.dropout == params.experiments[name].head.rates
        assert trial_params.batch_size == params.experiments[name].batch_size


def test_heads_outside_a_narrowed_space_are_left_out(params: Params) -> None:
    assert set(published_heads(narrowed(params, width=(64, 512)))) == {
        "ModelD-256-128",
        "ModelD-256-128-dropout",
    }
    assert not published_heads(narrowed(params, layers=(1,)))


@pytest.mark.parametrize("change", [{"features": "conv4_x"}, {"start": "scratch"}])
def test_a_head_on_other_features_is_no_published_head(
    params: Params, change: dict[str, object]
) -> None:
    name = "ModelD-256-128"
    other = params.experiments[name].model_copy(update=change)
    changed = params.model_copy(update={"experiments": params.experiments | {name: other}})
    assert published_heads(params).keys() - published_heads(changed).keys() == {name}


def test_an_earlier_best_is_no_published_head(params: Params) -> None:
    best = params.experiments["ModelD-256-128"]
    with_best = params.model_copy(update={"experiments": {BEST_NAME: best}})
    assert not published_heads(with_best)


def test_a_rate_outside_the_space_moves_to_its_edge(params: Params) -> None:
    heads = published_heads(narrowed(params, learning_rate=(0.002, 0.01), batch_size=(32, 128)))
    assert {chosen["learning_rate"] for chosen in heads.values()} == {0.002}
    assert {chosen["batch_size"] for chosen in heads.values()} <= {32, 128}


def test_a_candidate_becomes_an_experiment_that_trains_the_same_way(params: Params) -> None:
    trial_params = TrialParams.of(
        published_heads(params)["ModelD-256-128-dropout"], params.tune.space
    )
    experiment = trial_params.experiment(100, "tuned")
    recipe = experiment.adapted(params.recipes["tuned"])
    assert experiment.head == params.experiments["ModelD-256-128-dropout"].head
    assert (recipe.learning_rate, recipe.weight_decay) == (
        trial_params.learning_rate,
        trial_params.weight_decay,
    )


def test_an_unknown_experiment_is_still_an_error(params: Params) -> None:
    with pytest.raises(ConfigError):
        params.experiment(BEST_NAME + "-2")


def test_a_published_head_with_multipliers_of_its_own_is_tried_at_its_own_rate(
    params: Params,
) -> None:
    name = "ModelD-256-128"
    own = {"multipliers": {"head": 1.0}, "learning_rate": 0.001}
    head = params.experiments[name].model_copy(update=own)
    changed = params.model_copy(update={"experiments": {name: head}})
    trial_params = TrialParams.of(published_heads(changed)[name], params.tune.space)
    tried = trial_params.experiment(head.epochs, params.tune.recipe)
    searched = params.recipes[params.tune.recipe or params.recipe]
    assert head.adapted(searched).head_rate == 0.001
    assert tried.adapted(searched).head_rate == pytest.approx(0.001)
