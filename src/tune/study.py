"""Opening a study: created if it is new, resumed only with the settings it was created with."""

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

DEFINITION, IDENTITY, PUBLISHED = "objective", "identity", "published"
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
STARTED = (TrialState.RUNNING, *FINISHED)
CREATOR_WAIT = 10.0  # seconds that another process may take to fill a study it has created


def open_study(storage: RDBStorage, params: Params, definition: Mapping[str, Any]) -> Study:
    """The study named in params.yaml; a new one starts with the published heads in its queue.

    `definition` is everything that decides the trials and their values (`Objective.definition`).
    Raises TuneError if the existing study has another definition; the study is left as it is.
    """
    tune = params.tune
    sampler, pruner = SeededByTrial(tune.sampler, params.seed), build_pruner(tune)
    created = True
    try:
        study = optuna.create_study(
            storage=storage,
            sampler=sampler,
            pruner=pruner,
            study_name=tune.study,
            direction="maximize",
        )
    except DuplicatedStudyError:
        created = False
        study = optuna.load_study(
            study_name=tune.study, storage=storage, sampler=sampler, pruner=pruner
        )
        _await_definition(study)
    if created or DEFINITION not in study.user_attrs:
        if study.get_trials(deepcopy=False, states=(*STARTED, TrialState.FAIL)):
            what = "has trials that `python -m src.tune` did not run"
            raise TuneError(f"study {tune.study}", what, "choose another name with --study")
        _initialize(study, params, definition)
    _refuse_other_definition(study, definition)
    _requeue_published(study, params)
    return study


def _await_definition(study: Study) -> None:
    deadline = time.monotonic() + CREATOR_WAIT
    while DEFINITION not in study.user_attrs and time.monotonic() < deadline:
        if study.get_trials(deepcopy=False, states=STARTED):
            return
        time.sleep(0.1)


def _initialize(study: Study, params: Params, definition: Mapping[str, Any]) -> None:
    heads = published_heads(params)
    study.set_user_attr(IDENTITY, uuid.uuid4().hex)
    for name, chosen in heads.items():
        study.enqueue_trial(chosen, user_attrs={PUBLISHED: name}, skip_if_exists=True)
    study.set_user_attr(DEFINITION, dict(definition))


def _requeue_published(study: Study, params: Params) -> None:
    """Queue the published heads again that failed with their wave, for instance without memory."""
    trials = study.get_trials(deepcopy=False)
    failed, others = (
        {
            trial.user_attrs.get(PUBLISHED)
            for trial in trials
            if (trial.state == TrialState.FAIL) == lost
        }
        for lost in (True, False)
    )
    for name, chosen in published_heads(params).items():
        if name in failed - others:
            study.enqueue_trial(chosen, user_attrs={PUBLISHED: name})


def _refuse_other_definition(study: Study, definition: Mapping[str, Any]) -> None:
    before, now = study.user_attrs[DEFINITION], dict(definition)
    differ = list(_differences(before, now))
    if not differ:
        return
    where, mend = f"study {study.study_name}", "choose another name with --study"
    if any(key.startswith("features.faces") for key in differ):
        raise TuneError(where, "was run on another version of the dataset", mend)
    if any(key.startswith("features.") for key in differ):
        raise TuneError(where, "was run on features of another network", mend)
    changes = ", ".join(f"{key} was {_at(before, key)} and is {_at(now, key)}" for key in differ)
    raise TuneError(where, f"was created with other settings ({changes})", mend)


def _differences(before: Any, now: Any, prefix: str = "") -> Iterator[str]:
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted(before.keys() | now.keys()):
            yield from _differences(before.get(key), now.get(key), f"{prefix}{key}.")
    elif before != now:
        yield prefix.rstrip(".")


def _at(definition: Any, key: str) -> Any:
    for part in key.split("."):
        definition = definition.get(part) if isinstance(definition, dict) else None
    return definition


def started_trials(study: Study) -> list[FrozenTrial]:
    """Trials that are running, complete or pruned."""
    return _trials(study, STARTED)


def finished_trials(study: Study) -> list[FrozenTrial]:
    """Trials that are complete or pruned, by number."""
    return _trials(study, FINISHED)


def complete_trials(study: Study) -> list[FrozenTrial]:
    """Trials that were trained to the end."""
    return _trials(study, (TrialState.COMPLETE,))


def _trials(study: Study, states: tuple[TrialState, ...]) -> list[FrozenTrial]:
    trials: list[FrozenTrial] = study.get_trials(deepcopy=False, states=states)
    return trials
