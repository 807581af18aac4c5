"""The search itself, in a real SQLite storage, on real heads."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from statistics import mean
from typing import Any

import optuna
import pytest
from optuna import Study, Trial
from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from optuna.trial import TrialState
from sqlalchemy import text

from src.config import Params
from src.training.heads import train_heads
from src.training.result import choose
from src.tune.best import best_trial, write_trials
from src.tune.figures import history, remove_figures, write_figures
from src.tune.heartbeat import Heartbeats
from src.tune.objective import Objective
from src.tune.search import DIVERGED, SAME_AS, Search, history_of
from src.tune.space import TrialParams
from src.tune.storage import StaleTrials, open_storage, parse_url, return_to_queue, silence_optuna
from src.tune.study import FINISHED, PUBLISHED, open_study
from tests.tune.conftest import tuned

pytestmark = pytest.mark.usefixtures("here")
LEFT_OVER = """
SELECT count(*) FROM trial_intermediate_values
JOIN trials ON trials.trial_id = trial_intermediate_values.trial_id WHERE state = 'WAITING'
"""


def nothing() -> None:
    return


def search(
    params: Params,
    on_change: Callable[[], None] = nothing,
    beating: type[Heartbeats] = Heartbeats,
    deadline: float = float("inf"),
) -> tuple[Study, Objective]:
    silence_optuna()
    url, objective = parse_url(params.tune.storage), Objective.load(params)
    Path("mlruns").mkdir(exist_ok=True)
    study = open_study(open_storage(url, 1), params, objective.definition)
    with beating(study, None) as heartbeats:
        Search(study, objective, StaleTrials(study, url, 1), heartbeats, deadline, on_change).run()
    return study, objective


def outcome(study: Study) -> list[tuple[object, ...]]:
    return [(t.number, t.state, t.value, *sorted(t.params.items())) for t in study.trials]


def stopping_after(calls: int) -> Callable[[], None]:
    left = [calls]

    def stop() -> None:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt

    return stop


def test_a_study_ends_with_exactly_its_trials_and_the_best_is_complete() -> None:
    study, _ = search(tuned())
    states = Counter(trial.state for trial in study.trials)
    assert sum(states.values()) == 12 == states[TrialState.COMPLETE] + states[TrialState.PRUNED]
    assert states[TrialState.PRUNED] >= 3
    best = best_trial(study)
    complete = [t.value for t in study.trials if t.state == TrialState.COMPLETE]
    assert best.state == TrialState.COMPLETE and best.value == max(complete)


def test_the_same_seed_gives_the_same_trials_and_another_seed_others() -> None:
    first, _ = search(tuned(study="first"))
    second, _ = search(tuned(study="second"))
    other, _ = search(tuned(study="other", seed=1))
    assert outcome(first) == outcome(second)
    assert outcome(first) != outcome(other)


def test_the_published_head_is_the_first_trial_and_never_pruned() -> None:
    study, _ = search(tuned())
    first = study.trials[0]
    assert first.user_attrs[PUBLISHED] == "ModelD-published"
    assert first.state == TrialState.COMPLETE
    assert (first.params["width_1"], first.params["width_2"]) == (8, 6)


def test_a_trial_is_worth_what_its_head_reaches_when_trained_alone() -> None:
    study, objective = search(tuned())
    for trial in (t for t in study.trials if t.state == TrialState.COMPLETE):
        task = objective.task(TrialParams.of(trial.params, objective.params.tune.space))
        (alone,) = train_heads([task], objective.features, objective.classes)
        assert trial.value == pytest.approx(alone.chosen.val_accuracy, abs=1e-6)
        assert choose(history_of(trial), "best").val_accuracy == pytest.approx(trial.value, 1e-4)


def test_heads_stop_at_the_rung_at_which_they_are_worse_than_those_that_go_on() -> None:
    alike = {"layers": [1], "width": [8], "dropout": [0.0], "weight_decay": [0.01]}
    space = {**alike, "batch_size": [8], "learning_rate": [1e-7, 0.1]}  # of which few are any good
    study, _ = search(tuned(space=space, sampler="random"))
    assert study.direction == StudyDirection.MAXIMIZE
    lengths = {(t.state, len(history_of(t))) for t in study.trials}
    assert lengths == {(TrialState.COMPLETE, 6), (TrialState.PRUNED, 5)}
    reached = {state: [] for state, _ in lengths}
    for trial in study.trials:
        reached[trial.state].append(max(e.val_accuracy for e in history_of(trial)[:5]))
    assert mean(reached[TrialState.PRUNED]) < mean(reached[TrialState.COMPLETE]) - 0.05


def test_no_wave_starts_after_the_deadline() -> None:
    study, _ = search(tuned(), deadline=time.monotonic())
    assert {trial.state for trial in study.trials} == {TrialState.WAITING}, "published heads"


@pytest.mark.parametrize("select", ["best", "last"])
def test_a_head_is_judged_by_its_best_so_far_or_where_the_last_epoch_counts_by_its_latest(
    select: str,
) -> None:
    alike = {"layers": [1], "width": [8, 32], "dropout": [0.0], "weight_decay": [0.01]}
    space = {**alike, "batch_size": [8], "learning_rate": [0.001, 0.003]}
    params = tuned(space=space, trials=4)
    steady = {"select": select, "schedule": "constant"}  # so that accuracy goes up and down
    recipes = {"tuned": params.recipes["tuned"].model_copy(update=steady)}
    study, _ = search(params.model_copy(update={"recipes": recipes}))
    reached = [[epoch.val_accuracy for epoch in history_of(trial)] for trial in study.trials]
    for trial, each in zip(study.trials, reached, strict=True):
        judged = [max(each[:5]), max(each)] if select == "best" else [each[4], each[-1]]
        assert trial.intermediate_values == {5: pytest.approx(judged[0], rel=1e-5)}
        if trial.state == TrialState.COMPLETE:
            assert trial.value == pytest.approx(judged[1], rel=1e-5)
    assert any(max(each[:5]) > each[4] + 0.01 for each in reached)


def test_running_it_again_with_more_trials_runs_only_the_rest() -> None:
    before = outcome(search(tuned(trials=5))[0])
    study, _ = search(tuned(trials=9))
    assert outcome(study)[:5] == before
    assert len(study.trials) == 9


def test_a_stopped_search_leaves_nothing_running_and_resumes_as_if_never_stopped() -> None:
    whole, _ = search(tuned(study="whole"))
    with pytest.raises(KeyboardInterrupt):
        search(tuned(study="stopped"), stopping_after(30))
    stopped, _ = search(tuned(study="stopped", trials=1))
    states = Counter(trial.state for trial in stopped.trials)
    assert states[TrialState.RUNNING] == 0 and 0 < states[TrialState.COMPLETE] < 12
    stopped, _ = search(tuned(study="stopped"))
    assert outcome(stopped) == outcome(whole)


@pytest.mark.parametrize("pruner", ["halving", "median"])
@pytest.mark.parametrize("calls", [24, 44])
def test_a_search_that_was_stopped_after_a_rung_prunes_as_if_never_stopped(
    pruner: str, calls: int
) -> None:
    changes = {"epochs": 18, "pruner": pruner}
    whole, _ = search(tuned(study="whole", **changes))
    assert any(trial.state == TrialState.PRUNED for trial in whole.trials)
    url = parse_url(tuned(study="stopped").tune.storage)
    with pytest.raises(KeyboardInterrupt):
        search(tuned(study="stopped", **changes), stopping_after(calls))
    with open_storage(url, 1).engine.connect() as connection:
        assert connection.scalar(text(LEFT_OVER)) == 0
    stopped, _ = search(tuned(study="stopped", **changes))
    assert outcome(stopped) == outcome(whole)


def test_a_killed_search_is_resumed_with_the_same_trial_numbers() -> None:
    whole, objective = search(tuned(study="whole"))
    params = tuned(study="killed")
    url = parse_url(params.tune.storage)
    study = open_study(open_storage(url, 1), params, objective.definition)
    with Heartbeats(study, None) as heartbeats:
        worker = Search(study, objective, StaleTrials(study, url, 1), heartbeats)
        worker._ask()  # and no more: as SIGKILL would leave it
    assert {trial.state for trial in study.trials} == {TrialState.RUNNING}
    study, _ = search(params)
    assert outcome(study) == outcome(whole)


@pytest.mark.parametrize(("sampler", "before"), [("tpe", 0), ("random", 4), ("tpe", 12)])
def test_a_trial_of_which_a_killed_search_drew_a_part_is_drawn_as_if_never_killed(
    sampler: str, before: int
) -> None:
    whole, objective = search(tuned(study="whole", sampler=sampler, trials=before + 4))
    params = tuned(study="killed", sampler=sampler, trials=before + 4)
    if before:
        search(tuned(study="killed", sampler=sampler, trials=before))
    study = open_study(
        open_storage(parse_url(params.tune.storage), 1), params, objective.definition
    )
    study.ask()
    study.ask().suggest_int("layers", *params.tune.space.layers)  # and no more, as by SIGKILL
    study, _ = search(params)
    assert outcome(study) == outcome(whole)


def test_a_search_killed_while_it_tells_a_wave_has_told_none_of_it_and_ends_as_if_not() -> None:
    class Copying(Heartbeats):
        """Keeps the files that SIGKILL would leave after the second trial of the third wave."""

        def remove(self, trial: Trial) -> None:
            super().remove(trial)
            if trial.number == 9:
                Path("killed").mkdir()
                for file in Path("mlruns").glob("optuna.db*"):
                    shutil.copy(file, "killed")

    whole, _ = search(tuned(trials=16), beating=Copying)
    killed = tuned(trials=16, storage="sqlite:///killed/optuna.db")
    storage = open_storage(parse_url(killed.tune.storage), 1)
    left = optuna.load_study(study_name=killed.tune.study, storage=storage)
    assert Counter(t.state in FINISHED for t in left.trials) == {True: 8, False: 4}
    resumed, _ = search(killed)
    assert outcome(resumed) == outcome(whole)


def test_a_duplicate_gets_the_result_of_the_first_without_training() -> None:
    space = {
        "layers": [1],
        "width": [4, 6],
        "dropout": [0.0],
        "learning_rate": [0.01],
        "weight_decay": [0.01],
        "batch_size": [8],
    }
    study, _ = search(tuned(space=space, pruner="none"))
    assert len(study.trials) == 12
    copies = [trial for trial in study.trials if SAME_AS in trial.user_attrs]
    assert len(copies) == 12 - len({trial.params["width_1"] for trial in study.trials})
    for trial in copies:
        first = study.trials[trial.user_attrs[SAME_AS]]
        assert (trial.params, trial.value, trial.state) == (first.params, first.value, first.state)


def test_an_error_while_a_wave_trains_fails_its_trials_and_is_raised() -> None:
    def out_of_memory() -> None:
        raise MemoryError("no room")

    with pytest.raises(MemoryError):
        search(tuned(), out_of_memory)
    study, _ = search(tuned())
    states = Counter(trial.state for trial in study.trials)
    assert states[TrialState.FAIL] == 4
    assert sum(states[state] for state in FINISHED) == 12
    (published,) = (t for t in study.trials if PUBLISHED in t.user_attrs and t.number >= 4)
    assert published.state == TrialState.COMPLETE


def test_a_trial_that_another_worker_took_over_while_it_was_asked_for_is_left_to_it() -> None:
    class Slow(Heartbeats):
        """Its first trial is taken for dead before its first heartbeat."""

        def add(self, trial: Trial) -> None:
            if trial.number == 0:
                self._storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
            super().add(trial)

    study, _ = search(tuned(), beating=Slow)
    states = Counter(trial.state for trial in study.trials)
    assert states[TrialState.FAIL] == 1
    assert sum(states[state] for state in FINISHED) == 12


def test_a_trial_that_another_worker_took_over_while_it_was_told_costs_none_of_its_wave(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    finish = RDBStorage.set_trial_state_values

    def after_another(storage: RDBStorage, trial_id: int, state: TrialState, **told: Any) -> bool:
        if state == TrialState.COMPLETE and storage.get_trial(trial_id).number == 0:
            finish(storage, trial_id, TrialState.FAIL)
        return finish(storage, trial_id, state, **told)

    monkeypatch.setattr(RDBStorage, "set_trial_state_values", after_another)
    study, _ = search(tuned())
    states = Counter(trial.state for trial in study.trials)
    assert states[TrialState.FAIL] == 1
    assert sum(states[state] for state in FINISHED) == 12


def test_a_trial_that_returns_to_the_queue_leaves_no_heartbeat() -> None:
    Path("mlruns").mkdir(exist_ok=True)
    storage = optuna.storages.RDBStorage("sqlite:///mlruns/optuna.db", heartbeat_interval=1)
    study = optuna.create_study(storage=storage)
    trial = study.ask()
    storage.record_heartbeat(trial._trial_id)
    return_to_queue(study, trial)
    with storage.engine.connect() as connection:
        assert not connection.execute(text("SELECT * FROM trial_heartbeats")).all()
    assert study.ask().number == trial.number


def test_a_study_without_one_right_answer_has_its_history_drawn() -> None:
    study = optuna.create_study(direction="maximize")
    study.add_trial(optuna.trial.create_trial(value=0.0))
    assert history(study.trials).axes[0].lines


@pytest.mark.parametrize("pruner", ["median", "none"])
def test_other_pruners_and_the_random_sampler_work(pruner: str) -> None:
    study, _ = search(tuned(pruner=pruner, sampler="random", epochs=12, trials=8))
    assert sum(trial.state in FINISHED for trial in study.trials) == 8
    if pruner == "none":
        assert all(trial.state == TrialState.COMPLETE for trial in study.trials)


def test_heads_that_diverge_are_pruned_alone() -> None:
    space = tuned().tune.space.model_copy(update={"learning_rate": (1e-2, 1e38)})
    params = tuned(pruner="none")
    study, _ = search(
        params.model_copy(update={"tune": params.tune.model_copy(update={"space": space})})
    )
    states = Counter((trial.state, DIVERGED in trial.user_attrs) for trial in study.trials)
    assert states.keys() == {(TrialState.COMPLETE, False), (TrialState.PRUNED, True)}
    assert sum(states.values()) == 12
    write_trials(Path("trials.csv"), study)
    drawn = write_figures(study, Path())
    assert drawn and all(path.is_file() for path in drawn)
    remove_figures(Path(), drawn[:1])
    assert sorted(Path().glob("*.png")) == drawn[:1], "an earlier study's would mislead"
    assert "the loss is " in Path("trials.csv").read_text()
