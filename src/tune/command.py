"""The command from end to end: features, study, search, and what comes out of it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from optuna import Study

from src import paths
from src.config import BEST, Params
from src.data.faceset import Split
from src.errors import TuneError
from src.tracking.provenance import dataset_version
from src.tracking.trials import StudyRun, track_study
from src.training.fingerprint import Fingerprint
from src.tune.best import Retraining, retrain, rows, write_best, write_trials
from src.tune.figures import write_pictures
from src.tune.heartbeat import Heartbeats
from src.tune.mirror import Mirror
from src.tune.problem import Problem
from src.tune.search import Search
from src.tune.storage import (
    Orphans,
    alone,
    is_sqlite,
    open_storage,
    parse_url,
    shown,
    silence_optuna,
)
from src.tune.study import IDENTITY, open_study
from src.tune.table import Watch, print_closing
from src.tune.workers import run_workers, stop_without

WEIGHTS, TRIALS = "ModelD-best.safetensors", "trials.csv"  # in the folder of BEST


@dataclass(frozen=True)
class Command:
    """`params` with the command line's options in place; `timeout` in seconds."""

    params: Params
    timeout: float | None = None
    mlflow: bool = True

    def run(self, argv: Sequence[str], workers: int) -> None:
        """Search until the study has its trials, then report on it."""
        silence_optuna()
        url = parse_url(self.params.tune.storage)
        if workers > 1 and is_sqlite(url):
            raise TuneError(
                shown(url),
                "SQLite locks the whole file for one writer, so it cannot serve several workers",
                "give --storage postgresql://..., or leave out --workers: a wave uses all cores",
            )
        make_features()
        problem = Problem.load(self.params)
        with alone(url):
            study = self._study(problem)
            with self._log(study, problem) as log:
                mirror: Callable[[], None] = Mirror(study, log).update if log else _nothing
                with Watch(study, self.params.tune) as watch:
                    if workers == 1:
                        self._search(study, problem, watch.look, mirror)
                    else:
                        run_workers(argv, workers, watch.look, mirror)
                mirror()
                self._close(study, problem, log)

    def job(self, parent: int) -> None:
        """One of several workers, until the study has its trials or the parent is gone."""
        silence_optuna()
        problem = Problem.load(self.params)
        self._search(self._study(problem), problem, lambda: stop_without(parent), _nothing)

    def _study(self, problem: Problem) -> Study:
        url = parse_url(self.params.tune.storage)
        storage = open_storage(url, self.params.tune.heartbeat)
        return open_study(storage, self.params, problem.objective)

    def _search(
        self,
        study: Study,
        problem: Problem,
        on_change: Callable[[], None],
        on_wave: Callable[[], None],
    ) -> None:
        url, heartbeat = parse_url(self.params.tune.storage), self.params.tune.heartbeat
        deadline = time.monotonic() + (self.timeout or float("inf"))
        orphans = Orphans(study, url, heartbeat)
        with Heartbeats(study, None if is_sqlite(url) else heartbeat) as heartbeats:
            Search(study, problem, orphans, heartbeats, deadline, on_change, on_wave).run()

    @contextmanager
    def _log(self, study: Study, problem: Problem) -> Iterator[StudyRun | None]:
        if not self.mlflow:
            yield None
            return
        params, faces = self.params, problem.starting_point.faces
        with track_study(
            experiment=params.tracking.experiment,
            name=f"tune-{params.tune.study}",
            identity=study.user_attrs[IDENTITY],
            params={
                "seed": params.seed,
                "data": params.data.model_dump(),
                "weights": {
                    "origin": problem.starting_point.source.origin,
                    "licence": problem.starting_point.source.licence,
                },
                "model": params.model.model_dump(),
                "tune": params.tune.model_dump(exclude={"storage"}),
                "recipe": problem.recipe.model_dump(),
            },
            dataset=dataset_version(paths.FACES, faces, params.data.origin),
            tags={"device": problem.compute.name, **Fingerprint.of(problem.compute).tags},
        ) as log:
            yield log

    def _close(self, study: Study, problem: Problem, log: StudyRun | None) -> None:
        """best.yaml, the trials as a table, pictures; the closing table and MLflow's copy."""
        found = rows(study, problem)
        again = retrain(study, problem, BEST.parent / WEIGHTS)
        write_best(BEST, study, problem)
        write_trials(BEST.parent / TRIALS, study)
        pictures = write_pictures(study, BEST.parent)
        print_closing(found, again)
        print(f"written to {BEST}; `dvc repro` trains it beside the others")
        if log is None:
            return
        log.metrics(_finals(found[0].val.value, again))
        for path in (BEST, BEST.parent / TRIALS, *pictures):
            log.artifact(path, "study")
        images, _ = problem.starting_point.faces.part(Split.train)
        log.model(BEST.parent / WEIGHTS, images[:2].permute(0, 2, 3, 1).contiguous().numpy())


def _finals(best: float, again: Retraining) -> dict[str, float]:
    return {"best_val/accuracy": best, "seeds_val/accuracy": sum(again.val) / len(again.val)}


def _nothing() -> None:
    return


def make_features() -> None:
    """Have DVC bring the features up to date; its words are shown only where it fails.

    Nothing where the folder is no DVC project. Raises TuneError.
    """
    if not Path(".dvc").is_dir():
        return
    # Stages call `python`, which must be the one that runs, whatever is activated.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    done = subprocess.run(
        [sys.executable, "-m", "dvc", "repro", "embed"],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        print(done.stdout + done.stderr, file=sys.stderr)
        raise TuneError("`dvc repro embed`", "failed", "see its messages above")
