"""The better model becomes the champion; a tie, or the same one again, changes nothing."""

from __future__ import annotations

import numpy as np
import pytest

from src.errors import TrackingError
from src.tracking.registry import champion_weights, promote
from src.tracking.run import track
from tests.tracking.finished import finish_run
from tests.tracking.projects import Project


def promoted(project: Project, name: str, accuracy: float, origin: str = "a") -> tuple[bool, str]:
    record = project.record.with_name(f"{name}.json")
    tags = {"data.md5": origin}
    with track(name=name, params={}, dataset=None, stage="s", record=record, tags=tags) as run:
        run.model(project.model, np.zeros((2, 32, 32, 3), np.uint8))
    verdict = promote(record, accuracy)
    return verdict.promoted, verdict.reason


def test_only_a_better_model_of_the_same_dataset_replaces_the_champion(project: Project) -> None:
    assert promoted(project, "A", 0.8) == (True, "the first champion")
    assert promoted(project, "B", 0.8) == (False, "a tie with 0.8000 of version 1 (A)")
    assert promoted(project, "C", 0.7) == (False, "below 0.8000 of version 1 (A)")
    assert promoted(project, "D", 0.9) == (True, "0.9000 against 0.8000 of version 1 (A)")
    assert promoted(project, "E", 0.1, "b") == (
        True,
        "the champion, version 4 (D), was trained on another dataset version",
    )


def test_promoting_the_same_run_again_makes_no_second_version(project: Project) -> None:
    finish_run(project)
    first, second = promote(project.record, 0.5), promote(project.record, 0.5)
    assert (first.version, first.promoted) == (1, True)
    assert (second.version, second.promoted) == (1, False)


def test_without_a_champion_the_error_says_how_to_get_one(project: Project) -> None:
    with pytest.raises(TrackingError, match="no champion yet; run `dvc repro register`"):
        champion_weights()
