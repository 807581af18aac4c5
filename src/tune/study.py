"""A study: opened or made, and only ever gone on with by who searches the same thing."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import optuna
from optuna import Study
from optuna.exceptions import DuplicatedStudyError
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

from src.config import Params
from src.errors import TuneError
from src.tune.sampling import SeededByTrial, build_pruner
from src.tune.space import published_heads

OBJECTIVE, IDENTITY, PUBLISHED = "objective", "identity", "published"
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
STARTED = (TrialState.RUNNING, *FINISHED)
MAKER_WAIT = 10.0  # seconds that another process may take between making a study and filling it


def open_study(storage: RDBStorage, params: Params, objective: Mapping[str, Any]) -> Study:
    """The study named in params.yaml; a new one starts with the published heads in its queue.

    `objective` is all that a trial's value depends on, as JSON. Raises TuneError where the study
    that is there searches something else; it is left untouched.
    """
    tune = params.tune
    sampler, pruner = SeededByTrial(tune.sampler, params.seed), build_pruner(tune)
    made = True
    try:
        study = optuna.create_study(
            storage=storage,
            sampler=sampler,
            pruner=pruner,
            study_name=tune.study,
            direction="maximize",
        )
    except DuplicatedStudyError:
        made = False
        study = optuna.load_study(
            study_name=tune.study, storage=storage, sampler=sampler, pruner=pruner
        )
        _await_objective(study)
    if made or OBJECTIVE not in study.user_attrs:
        if study.get_trials(deepcopy=False, states=(*STARTED, TrialState.FAIL)):
            what = "has trials that were not made here"
            raise TuneError(f"study {tune.study}", what, "choose another name with --study")
        _fill(study, params, objective)
    _check(study, objective)
    return study


def _await_objective(study: Study) -> None:
    deadline = time.monotonic() + MAKER_WAIT
    while OBJECTIVE not in study.user_attrs and time.monotonic() < deadline:
        if study.get_trials(deepcopy=False, states=STARTED):
            return
        time.sleep(0.1)


def _fill(study: Study, params: Params, objective: Mapping[str, Any]) -> None:
    heads = published_heads(params)
    study.set_user_attr(IDENTITY, uuid.uuid4().hex)
    for name, chosen in heads.items():
        study.enqueue_trial(chosen, user_attrs={PUBLISHED: name}, skip_if_exists=True)
    study.set_user_attr(OBJECTIVE, dict(objective))


def _check(study: Study, objective: Mapping[str, Any]) -> None:
    before, now = study.user_attrs[OBJECTIVE], dict(objective)
    differ = list(_differences(before, now))
    if not differ:
        return
    where, mend = f"study {study.study_name}", "choose another name with --study"
    if any(key.startswith("features.faces") for key in differ):
        raise TuneError(where, "was made on another version of the dataset", mend)
    if any(key.startswith("features.") for key in differ):
        raise TuneError(where, "was made on features of another network", mend)
    changes = ", ".join(f"{key} {_at(before, key)} there, {_at(now, key)} here" for key in differ)
    raise TuneError(where, f"searches something else ({changes})", mend)


def _differences(before: Any, now: Any, prefix: str = "") -> Iterator[str]:
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted(before.keys() | now.keys()):
            yield from _differences(before.get(key), now.get(key), f"{prefix}{key}.")
    elif before != now:
        yield prefix.rstrip(".")


def _at(objective: Any, key: str) -> Any:
    for part in key.split("."):
        objective = objective.get(part) if isinstance(objective, dict) else None
    return objective


def started(study: Study) -> list[FrozenTrial]:
    """Trials that run or have run to an end."""
    trials: list[FrozenTrial] = study.get_trials(deepcopy=False, states=STARTED)
    return trials


def finished(study: Study) -> list[FrozenTrial]:
    """Trials that count: complete, or pruned."""
    trials: list[FrozenTrial] = study.get_trials(deepcopy=False, states=FINISHED)
    return trials
