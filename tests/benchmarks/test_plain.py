"""The plain loop: its shortcut gives the same accuracy, and it refuses what it cannot train."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks.plain import (
    PlainLoop,
    PlainRun,
    check_comparable,
    loader,
    prefix_outputs,
    write_folders,
)
from src.config import Augment, Head, Recipe
from src.data.faceset import Split
from src.errors import ConfigError
from src.models.network import normalize
from src.training.engine import run_job
from src.training.job import TrainingJob
from tests.benchmarks.projects import job_of

pytestmark = pytest.mark.usefixtures("project")
EVERY_IMAGE = 24  # as one batch, so that the order of the images does not matter


def changed(job: TrainingJob, **recipe: object) -> TrainingJob:
    return replace(job, recipe=Recipe.model_validate({**job.recipe.model_dump(), **recipe}))


@pytest.mark.parametrize("name", ["Baseline", "ModelA"])
def test_a_run_finished_on_stored_outputs_ends_with_the_weights_of_the_whole_run(
    name: str, project: Path
) -> None:
    job = changed(job_of(name, project), flip=False, batchnorm="freeze")
    longer = job.experiment.model_copy(update={"batch_size": EVERY_IMAGE, "epochs": 4})
    job = replace(job, experiment=longer)
    write_folders(job.starting_point.faces, project / "faces")
    training, validation = (
        loader(job, project / "faces", split) for split in (Split.train, Split.val)
    )
    whole, finished = PlainLoop(job), PlainLoop(job)
    before = {name: value.clone() for name, value in whole.network.state_dict().items()}
    for _ in range(4):
        whole.epoch(training, validation)
    finished.epoch(training, validation)
    finished.train_on_outputs(3, prefix_outputs(job, project / "faces", Split.train, Split.val))
    assert finished.step == whole.step == 4
    after = finished.network.state_dict()
    moved = 0
    for key, value in whole.network.state_dict().items():
        torch.testing.assert_close(after[key], value, rtol=1e-3, atol=1e-5)
        moved += not torch.equal(value, before[key])
    assert moved, "something has trained"


def test_of_epochs_with_equal_accuracy_both_loops_keep_the_one_with_the_lowest_loss(
    project: Path,
) -> None:
    """Steps too small to change an answer: accuracy stays, and the loss falls."""
    job = changed(
        job_of("Baseline", project),
        optimizer="sgd",
        learning_rate=1e-4,
        multipliers={},
        schedule="constant",
        flip=False,
        batchnorm="freeze",
        label_smoothing=0.0,
    )
    longer = job.experiment.model_copy(update={"batch_size": EVERY_IMAGE, "epochs": 4})
    job = replace(job, experiment=longer)
    fitted = run_job(job, lambda _epoch: None)
    assert len({epoch.val_accuracy for epoch in fitted.history}) == 1
    losses = [epoch.val_loss for epoch in fitted.history]
    best = fitted.chosen.number
    assert best == losses.index(min(losses)) + 1 > 1

    write_folders(job.starting_point.faces, project / "faces")
    training, validation = (
        loader(job, project / "faces", split) for split in (Split.train, Split.val)
    )
    plain, after = PlainLoop(job), []
    for _ in range(4):
        plain.epoch(training, validation)
        after.append({name: value.clone() for name, value in plain.network.state_dict().items()})
    kept = [
        number
        for number, state in enumerate(after, 1)
        if all(torch.equal(state[name], plain.best_state[name]) for name in state)
    ]
    assert kept == [best]


def test_stored_outputs_are_those_of_every_image_and_of_its_mirror_image(project: Path) -> None:
    job = job_of("ModelA", project)
    write_folders(job.starting_point.faces, project / "faces")
    loop = PlainLoop(job)
    stored = prefix_outputs(job, project / "faces", Split.train)[Split.train]
    images, labels = job.starting_point.faces.part(Split.train)
    loop.network.eval()
    with torch.no_grad():
        for view, batch in enumerate((images, images.flip(3))):
            expected = loop.network.run(normalize(batch, job.spec()), 0, loop.frozen)
            torch.testing.assert_close(stored.outputs[:, view], expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(stored.labels, labels)
    drawn = {tuple(stored[0][0].flatten()[:9].tolist()) for _ in range(40)}
    assert len(drawn) == 2, "both views are drawn"


def test_a_subject_without_an_image_in_a_split_leaves_the_others_their_names(
    project: Path,
) -> None:
    job = job_of("Baseline", project)
    faces = job.starting_point.faces
    split = faces.split.clone()
    split[(faces.labels == 0) & (split == Split.val.value)] = Split.train.value
    write_folders(replace(faces, split=split), project / "faces")
    named = torch.cat([labels for _, labels in loader(job, project / "faces", Split.val)])
    assert set(named.tolist()) == {1}


def test_a_projection_counts_the_start_of_the_loaders_workers_once() -> None:
    run = PlainRun((5.0, 2.0, 4.0), None)
    assert run.seconds(3) == 11.0
    assert run.seconds(100) == 5.0 + 99 * 3.0


def test_what_the_plain_loop_does_not_support_is_refused_by_name(project: Path) -> None:
    job = job_of("Baseline", project)
    check_comparable(job)
    for recipe, named in (
        ({"augment": Augment(hue=0.1)}, "jitter"),
        ({"head_epochs": 2}, "only the head"),
        ({"patience": 3}, "patience"),
        ({"batchnorm": "recalibrate"}, "recalibrated"),
    ):
        with pytest.raises(ConfigError, match=named):
            check_comparable(changed(job, **recipe))
    svm = job.experiment.model_copy(update={"head": Head(kind="svm"), "epochs": 1})
    with pytest.raises(ConfigError, match="svm head"):
        check_comparable(replace(job, experiment=svm))
