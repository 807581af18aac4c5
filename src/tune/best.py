"""The best trial: found on validation, and trained again over several seeds.

The test split has no part here: `pipelines.evaluate` alone reads it.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from pathlib import Path

from optuna import Study
from optuna.trial import FrozenTrial, TrialState
from ruamel.yaml import YAML

from src.config import BEST_NAME
from src.errors import TuneError
from src.evaluation.metrics import Proportion, wilson
from src.files import write_csv, write_text
from src.models.network import Network, save_network
from src.training.heads import HeadResult, train_heads
from src.training.job import TrainingJob
from src.tune.problem import Problem
from src.tune.search import BEST_EPOCH, SAME_AS, VAL_LOSS
from src.tune.space import TrialParams, trial_params
from src.tune.study import FINISHED, PUBLISHED

HEADER = """\
# The best head that `python -m src.tune` found; `dvc repro` trains it as the experiment below.
# Written by that command; `best: {}` where it has not run.
"""


@dataclass(frozen=True)
class TrialRow:
    """A trial's validation accuracy, as the closing table has it."""

    name: str
    number: int
    candidate: TrialParams
    val: Proportion
    pruned: bool


@dataclass(frozen=True)
class Retraining:
    """The best head trained again: validation accuracies per seed, within [0, 1]."""

    seeds: tuple[int, ...]
    val: tuple[float, ...]


def best_trial(study: Study) -> FrozenTrial:
    """The most accurate on validation, then the one with the least loss there, then the first.

    Raises TuneError where no trial is complete.
    """
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if not complete:
        where, what = f"study {study.study_name}", "no trial has been trained to its end"
        raise TuneError(where, what, "give it more --trials or more --timeout")
    return max(complete, key=lambda t: (t.value, -t.user_attrs[VAL_LOSS], -t.number))


def rows(study: Study, problem: Problem) -> list[TrialRow]:
    """The best trial, then the published heads in the order of params.yaml."""
    best = best_trial(study)
    published = {
        trial.user_attrs[PUBLISHED]: trial
        for trial in study.get_trials(deepcopy=False, states=FINISHED)
        if PUBLISHED in trial.user_attrs
    }
    return [_row(BEST_NAME, best, problem)] + [
        _row(name, trial, problem) for name, trial in published.items()
    ]


def _row(name: str, trial: FrozenTrial, problem: Problem) -> TrialRow:
    images, value = problem.val_images, trial.value or 0.0
    return TrialRow(
        name,
        trial.number,
        trial_params(trial.params, problem.params.tune.space),
        wilson(round(value * images), images),
        trial.state == TrialState.PRUNED,
    )


def retrain(study: Study, problem: Problem, weights: Path) -> Retraining:
    """Train the best head with several seeds, and save the first's network to `weights`."""
    candidate = trial_params(best_trial(study).params, problem.params.tune.space)
    job, task = problem.fit(candidate), problem.task(candidate)
    seeds = tuple(range(task.seed, task.seed + problem.params.tune.seeds))
    tasks = [replace(task, seed=seed) for seed in seeds]
    heads = train_heads(tasks, problem.features, problem.classes)
    network = _network(job, problem, heads[0])
    save_network(weights, network.state_dict(), job.spec())
    return Retraining(seeds, tuple(head.chosen.val_accuracy for head in heads))


def _network(job: TrainingJob, problem: Problem, head: HeadResult) -> Network:
    network = job.network()
    network.load_state_dict(problem.features.buffers_after(head.chosen.number), strict=False)
    network.head.load_state_dict(head.state)
    return network.eval().cpu()


def write_best(path: Path, study: Study, problem: Problem) -> None:
    """The best trial as the experiment `BEST_NAME`, where params.yaml's reader finds it."""
    tune = problem.params.tune
    candidate = trial_params(best_trial(study).params, tune.space)
    entry = candidate.experiment(tune.epochs, tune.recipe).model_dump(
        mode="json", exclude_defaults=True
    )
    text = io.StringIO()
    YAML(typ="safe").dump({"best": {BEST_NAME: entry}}, text)
    write_text(path, HEADER + text.getvalue())


def write_trials(path: Path, study: Study) -> None:
    """Every finished trial as a row of a CSV file."""
    finished = study.get_trials(deepcopy=False, states=(*FINISHED, TrialState.FAIL))
    names = sorted({name for trial in finished for name in trial.params})
    results = (BEST_EPOCH, VAL_LOSS, PUBLISHED, SAME_AS)
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
