"""A step that is killed at any moment and run again leaves what one leaves that never was.

`make test-faults` runs these; with `--kills 10` each step is killed at ten moments.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults.project import STAGES, TUNE, WITHOUT_RUNS, Outcome, Project

STEPS = {stage: ("dvc", "repro", "--single-item", stage) for stage in STAGES} | {"tune": TUNE}
SIGNALS = (signal.SIGKILL, signal.SIGTERM)


@dataclass(frozen=True)
class Step:
    """A command, the project before it, and what it does if nothing stops it."""

    command: Sequence[str]
    before: Path
    seconds: float
    expected: Outcome


@dataclass(frozen=True)
class Reference:
    """The steps of one uninterrupted pipeline, and the project to repeat them in."""

    project: Project
    steps: dict[str, Step]


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    """Run each step once, keeping the project as it was before."""
    folder = tmp_path_factory.mktemp("faults")
    project = Project.small(folder / "project")
    seconds = project.uninterrupted(folder, *STAGES)
    before = [folder / f"before-{stage}" for stage in STAGES]
    steps = {
        stage: Step(STEPS[stage], was, seconds[stage], Project(then).outcome())
        for stage, was, then in zip(STAGES, before, [*before[1:], folder / "after"], strict=True)
    }
    project.restore(before[len(WITHOUT_RUNS)])
    project.run("dvc", "commit", "--force", *WITHOUT_RUNS)  # or the search runs them again
    was = folder / "before-tune"
    project.copy_to(was)
    begun = time.monotonic()
    project.run(*TUNE)
    steps["tune"] = Step(TUNE, was, time.monotonic() - begun, project.outcome())
    return Reference(project, steps)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "kill" not in metafunc.fixturenames:
        return
    count = metafunc.config.getoption("--kills")
    metafunc.parametrize("kill", range(count))
    metafunc.parametrize("name", STEPS)


def test_a_killed_step_is_made_good_by_running_it_again(
    reference: Reference, name: str, kill: int, request: pytest.FixtureRequest
) -> None:
    project, step = reference.project, reference.steps[name]
    draw = random.Random(f"{request.config.getoption('--kill-seed')} {name} {kill}")  # noqa: S311
    after = draw.uniform(0.05, 1) * step.seconds
    how = SIGNALS[(kill + list(STEPS).index(name)) % 2]
    project.restore(step.before)
    while not project.killed(after, how, *step.command):  # it ended sooner than before
        after /= 2
        project.restore(step.before)
    print(f"{name}: {how.name} after {after:.2f} of {step.seconds:.2f} s")
    output = project.run(*step.command)
    assert "Traceback" not in output
    assert project.outcome() == step.expected


def test_a_training_that_had_ended_before_dvc_saved_it_is_not_finished_twice(
    reference: Reference,
) -> None:
    project, step = reference.project, reference.steps["train@Network"]
    project.restore(step.before)
    process = project.start(*step.command)
    while not project.runs()["Network", "FINISHED"]:
        assert process.poll() is None, "ended before it could be killed"
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    project.run(*step.command)
    assert project.outcome() == step.expected
