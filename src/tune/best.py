"""The best trial by validation accuracy: its retraining with several seeds, and its files.

The test split is not used: only `pipelines.evaluate` reads it.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

from optuna import Study
from optuna.trial import FrozenTrial, TrialState
from ruamel.yaml import YAML

from src.config import BEST_NAME
from src.errors import TuneError
from src.evaluation.metrics import Proportion, wilson
from src.files import write_csv, write_text
from src.models.network import save_network
from src.training.engine import run_seeds
from src.tune.objective import Objective
from src.tune.search import BEST_EPOCH, DIVERGED, SAME_AS, VAL_LOSS
from src.tune.space import TrialParams
from src.tune.study import FINISHED, PUBLISHED, complete_trials, finished_trials

HEADER = """\
# The best head that `python -m src.tune` found; `dvc repro` trains it as the experiment below.
# Written by that command; `best: {}` where it has not run.
"""


@dataclass(frozen=True)
class TrialRow:
    """A trial as a row of the closing table, with its validation accuracy."""

    name: str
    number: int
    params: TrialParams
    val: Proportion


@dataclass(frozen=True)
class Retraining:
    """Validation accuracies, within [0, 1], of the best head trained again with each seed."""

    seeds: tuple[int, ...]
    val: tuple[float, ...]


def best_trial(study: Study) -> FrozenTrial:
    """The complete trial with the highest validation accuracy.

    Of several, the one with the lowest validation loss, then the first. Raises TuneError if no
    trial is complete.
    """
    complete = complete_trials(study)
    if not complete:
        where, what = f"study {study.study_name}", "has no complete trial"
        diverged = [t for t in finished_trials(study) if DIVERGED in t.user_attrs]
        if diverged:
            what += f", and the loss of {len(diverged)} was not finite"
            raise TuneError(where, what, "lower tune.space.learning_rate and name another study")
        raise TuneError(where, what, "give it more --trials or more --timeout")
    return max(complete, key=lambda t: (t.value, -t.user_attrs[VAL_LOSS], -t.number))


def table_rows(study: Study, objective: Objective) -> list[TrialRow]:
    """The best trial, then the published heads in the order of params.yaml that did not diverge."""
    return [_table_row(BEST_NAME, best_trial(study), objective)] + [
        _table_row(name, trial, objective)
        for name, trial in _published(study).items()
        if DIVERGED not in trial.user_attrs
    ]


def diverged_heads(study: Study) -> list[str]:
    """The published heads that diverged, and so have no accuracy for the table."""
    return [name for name, trial in _published(study).items() if DIVERGED in trial.user_attrs]


def _published(study: Study) -> dict[str, FrozenTrial]:
    return {
        trial.user_attrs[PUBLISHED]: trial
        for trial in finished_trials(study)
        if PUBLISHED in trial.user_attrs
    }


def _table_row(name: str, trial: FrozenTrial, objective: Objective) -> TrialRow:
    images, value = objective.val_images, trial.value or 0.0
    return TrialRow(
        name,
        trial.number,
        TrialParams.of(trial.params, objective.params.tune.space),
        wilson(round(value * images), images),
    )


def retrain(study: Study, objective: Objective, weights: Path) -> Retraining:
    """Train the best head with several seeds, and save the first's network to `weights`."""
    trial_params = TrialParams.of(best_trial(study).params, objective.params.tune.space)
    job = objective.job(trial_params)
    seeds = tuple(range(job.seed, job.seed + objective.params.tune.seeds))
    results = run_seeds(job, seeds, lambda _epoch, _seed: None, objective.features)
    save_network(weights, results[0].state, results[0].spec)
    return Retraining(seeds, tuple(result.chosen.val_accuracy for result in results))


def write_best(path: Path, study: Study, objective: Objective) -> None:
    """Write the best trial as the experiment `BEST_NAME`, which `load_params` reads."""
    tune = objective.params.tune
    trial_params = TrialParams.of(best_trial(study).params, tune.space)
    entry = trial_params.experiment(tune.epochs, tune.recipe).model_dump(
        mode="json", exclude_defaults=True
    )
    text = io.StringIO()
    YAML(typ="safe").dump({"best": {BEST_NAME: entry}}, text)
    write_text(path, HEADER + text.getvalue())


def write_trials(path: Path, study: Study) -> None:
    """Write every complete, pruned or failed trial as a row of a CSV file."""
    finished = study.get_trials(deepcopy=False, states=(*FINISHED, TrialState.FAIL))
    names = sorted({name for trial in finished for name in trial.params})
    results = (BEST_EPOCH, VAL_LOSS, PUBLISHED, SAME_AS, DIVERGED)
    write_csv(
        path,
        ("trial", "state", "val_accuracy", *names, *results),
        (
            (
                trial.number,
                trial.state.name.lower(),
                "" if trial.value is None else f"{trial.value:.6f}",
                *(trial.params.get(name, "") for name in names),
                *(trial.user_attrs.get(name, "") for name in results),
            )
            for trial in finished
        ),
    )
