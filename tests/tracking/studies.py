"""The one study of a project, and a finished trial of it."""

from __future__ import annotations

from src.data.faceset import FaceSet
from src.tracking.provenance import dataset_version
from src.tracking.record import MetricPoint
from src.tracking.trials import TrialRun, track_study
from tests.tracking.projects import EXPERIMENT, Project

TRIAL = TrialRun(
    7,
    {"width": 8},
    {},
    "FINISHED",
    1000,
    2000,
    (MetricPoint(step=1, time=1500, metrics={"a": 0.5}),),
)


def study(project: Project):
    """The one study of a project."""
    return track_study(
        experiment=EXPERIMENT,
        name="tune",
        identity="one",
        params={},
        dataset=dataset_version(project.faces, FaceSet.load(project.faces), "data/a.zip"),
        tags={},
        command="python -m src.tune",
    )
