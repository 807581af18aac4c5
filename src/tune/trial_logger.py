"""Logging a study to MLflow: a run for every finished trial."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from optuna import Study
from optuna.trial import FrozenTrial, TrialState

from src.tracking.children import Status
from src.tracking.record import MetricPoint
from src.tracking.store import is_shared
from src.tracking.trials import StudyRun, TrialRun
from src.tune.search import BEST_EPOCH, SAME_AS, history_of
from src.tune.storage import WORKER
from src.tune.study import PUBLISHED

STATUS: dict[TrialState, Status] = {
    TrialState.COMPLETE: "FINISHED",
    TrialState.PRUNED: "KILLED",
    TrialState.FAIL: "FAILED",
}


@dataclass(frozen=True)
class TrialLogger:
    """Logs trials of `study` as child runs of `study_run`.

    shared: whether other machines run trials of it, too. A machine whose MLflow store is its own
    then logs its own trials. Into a store that they share it logs all, since the others may be
    gone, as containers are, whose names are never seen again.
    """

    study: Study
    study_run: StudyRun
    shared: bool

    def update(self) -> None:
        """Log the trials that have finished since the last call."""
        finished = self.study.get_trials(deepcopy=False, states=tuple(STATUS))
        host, every = socket.gethostname(), not self.shared or is_shared()
        self.study_run.log_trials(
            trial_run(trial)
            for trial in finished
            if every or trial.user_attrs.get(WORKER, "").rsplit(":", 1)[0] == host
        )


def trial_run(trial: FrozenTrial) -> TrialRun:
    """A finished trial as a run, its epochs spread evenly over its duration."""
    history = history_of(trial)
    begun, ended = (
        int(moment.timestamp() * 1000) if moment else 0
        for moment in (trial.datetime_start, trial.datetime_complete)
    )
    pause = (ended - begun) / max(len(history), 1)
    points = [
        MetricPoint(
            step=epoch.number, time=round(begun + pause * epoch.number), metrics=epoch.metrics
        )
        for epoch in history
    ]
    if trial.value is not None and history:
        best = history[trial.user_attrs[BEST_EPOCH] - 1]
        finals = {"best_epoch": float(best.number), "best_val/accuracy": best.val_accuracy}
        points.append(MetricPoint(step=0, time=ended, metrics=finals))
    tags = {
        "optuna.state": trial.state.name,
        "optuna.published": trial.user_attrs.get(PUBLISHED, ""),
        "optuna.same_as": str(trial.user_attrs.get(SAME_AS, "")),
    }
    return TrialRun(
        trial.number,
        trial.params,
        {key: value for key, value in tags.items() if value},
        STATUS[trial.state],
        begun,
        ended,
        tuple(points),
    )
