"""The command from end to end: features, study, search, and the files that it writes."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from optuna import Study

from src import paths
from src.config import BEST, Params
from src.data.faceset import Split
from src.errors import TuneError
from src.files import all_or_none
from src.repro import repro
from src.tracking.provenance import dataset_version
from src.tracking.trials import StudyRun, track_study
from src.training.fingerprint import Fingerprint
from src.tune.best import diverged_heads, retrain, table_rows, write_best, write_trials
from src.tune.figures import remove_figures, write_figures
from src.tune.heartbeat import Heartbeats
from src.tune.objective import Objective, check_recipe
from src.tune.search import Search
from src.tune.storage import (
    StaleTrials,
    exclusive_access,
    is_sqlite,
    open_storage,
    parse_url,
    reachable,
    safe_url,
    silence_optuna,
)
from src.tune.study import IDENTITY, open_study
from src.tune.table import LiveTable, print_closing
from src.tune.trial_logger import TrialLogger
from src.tune.workers import run_workers, stop_without

WEIGHTS, TRIALS = "ModelD-best.safetensors", "trials.csv"  # in the folder of BEST


@dataclass(frozen=True)
class Command:
    """`params` with the command line's options in place; `timeout` in seconds."""

    params: Params
    timeout: float | None = None
    mlflow: bool = True

    def run(self, argv: Sequence[str], workers: int) -> None:
        """Search until the study has its trials, then write and print the results."""
        silence_optuna()
        check_recipe(self.params)
        url = parse_url(self.params.tune.storage)
        if workers > 1 and is_sqlite(url):
            raise TuneError(
                safe_url(url),
                "SQLite allows only one writer, so several workers cannot share it",
                "give --storage postgresql://..., or leave out --workers: one uses all cores",
            )
        with exclusive_access(url), reachable(url):
            if not is_sqlite(url):  # a server that is not there is told before the stages run
                open_storage(url, self.params.tune.heartbeat).engine.dispose()
            update_features()
            objective = Objective.load(self.params)
            study = self._open_study(objective)
            with self._track(study, objective, shlex.join(argv)) as study_run:
                shared = not is_sqlite(url)
                log = TrialLogger(study, study_run, shared).update if study_run else _nothing
                with LiveTable(study, self.params.tune) as table:
                    if workers == 1:
                        self._search(study, objective, table.refresh, log)
                    else:
                        run_workers(argv, self.params.tune.storage, workers, table.refresh, log)
                log()
                self._report(study, objective, study_run)

    def run_worker(self, parent: int) -> None:
        """Search as one of several workers, at most until the parent process has ended."""
        silence_optuna()
        with reachable(parse_url(self.params.tune.storage)):
            objective = Objective.load(self.params)
            study = self._open_study(objective)
            self._search(study, objective, lambda: stop_without(parent), _nothing)

    def _open_study(self, objective: Objective) -> Study:
        url = parse_url(self.params.tune.storage)
        storage = open_storage(url, self.params.tune.heartbeat)
        return open_study(storage, self.params, objective.definition)

    def _search(
        self,
        study: Study,
        objective: Objective,
        on_change: Callable[[], None],
        on_wave: Callable[[], None],
    ) -> None:
        url, heartbeat = parse_url(self.params.tune.storage), self.params.tune.heartbeat
        deadline = time.monotonic() + (self.timeout or float("inf"))
        stale_trials = StaleTrials(study, url, heartbeat)
        with Heartbeats(study, None if is_sqlite(url) else heartbeat) as heartbeats:
            Search(study, objective, stale_trials, heartbeats, deadline, on_change, on_wave).run()

    def _track(
        self, study: Study, objective: Objective, options: str
    ) -> AbstractContextManager[StudyRun | None]:
        if not self.mlflow:
            return nullcontext()
        params, faces = self.params, objective.starting_point.faces
        source = objective.starting_point.source
        return track_study(
            experiment=params.tracking.experiment,
            name=f"tune-{params.tune.study}",
            identity=study.user_attrs[IDENTITY],
            params={
                "seed": params.seed,
                "data": params.data.model_dump(),
                "weights": {"origin": source.origin, "licence": source.licence},
                "model": params.model.model_dump(),
                "tune": params.tune.model_dump(exclude={"storage"}),
                "recipe": objective.recipe.model_dump(),
            },
            dataset=dataset_version(paths.FACES, faces, params.data.origin),
            tags={"device": objective.compute.name, **Fingerprint.of(objective.compute).tags},
            command=f"python -m src.tune {options}".strip(),
        )

    def _report(self, study: Study, objective: Objective, study_run: StudyRun | None) -> None:
        """Write best.yaml, weights, trials and figures, print the closing table, log to MLflow."""
        rows = table_rows(study, objective)
        with all_or_none():
            retraining = retrain(study, objective, BEST.parent / WEIGHTS)
            write_best(BEST, study, objective)
            write_trials(BEST.parent / TRIALS, study)
            figures = write_figures(study, BEST.parent)
        remove_figures(BEST.parent, figures)
        print_closing(rows, diverged_heads(study), retraining)
        print(f"written to {BEST}; `dvc repro` trains it beside the others")
        if study_run is None:
            return
        mean = sum(retraining.val) / len(retraining.val)
        best = rows[0].val.value
        study_run.log_metrics({"best_val/accuracy": best, "seeds_val/accuracy": mean})
        for path in (BEST, BEST.parent / TRIALS, *figures):
            study_run.log_artifact(path)
        images, _ = objective.starting_point.faces.mapped(Split.train)
        example = images[:2].permute(0, 2, 3, 1).contiguous().numpy()
        study_run.log_model(BEST.parent / WEIGHTS, example)


def _nothing() -> None:
    return


def update_features() -> None:
    """Bring the features up to date with `dvc repro embed`, except outside a DVC project."""
    if Path(".dvc").is_dir():
        repro("embed")
