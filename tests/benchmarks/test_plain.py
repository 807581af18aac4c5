"""The plain loop: its shortcut gives the same accuracy, and it refuses what it cannot train."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook

from benchmarks.outputs import StoredOutputs
from benchmarks.plain import (
    PlainLoop,
    PlainRun,
    Terms,
    check_comparable,
    loader,
    prefix_outputs,
    train_plain,
    write_folders,
)
from benchmarks.speed import job_of_repeat
from src.config import Augment, Head, Recipe
from src.data.faceset import Split
from src.errors import ConfigError
from src.models.network import normalize
from src.training.engine import run_job
from src.training.job import TrainingJob
from tests.benchmarks.projects import job_of

pytestmark = [pytest.mark.long, pytest.mark.usefixtures("project")]
EVERY_IMAGE = 24  # as one batch, so that the order of the images does not matter


def changed(job: TrainingJob, **recipe: object) -> TrainingJob:
    return replace(job, recipe=Recipe.model_validate({**job.recipe.model_dump(), **recipe}))


@pytest.mark.parametrize("name", ["Baseline", "ModelA"])
@pytest.mark.parametrize("before_outputs", [0, 1], ids=["all-on-outputs", "finished-on-outputs"])
def test_a_run_on_stored_outputs_ends_with_the_weights_of_the_whole_run(
    before_outputs: int, name: str, project: Path
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
    for _ in range(before_outputs):
        finished.epoch(training, validation)
    rest = 4 - before_outputs
    finished.train_on_outputs(rest, prefix_outputs(job, project / "faces", Split.train, Split.val))
    assert finished.step == whole.step == 4
    after = finished.network.state_dict()
    # By whole tensors: where a gradient is next to nothing, Adam makes steps out of rounding.
    ended = {key: value.double() for key, value in whole.network.state_dict().items()}
    moved = {key: (value - before[key]).norm() for key, value in ended.items()}
    for key, value in ended.items():
        assert (after[key] - value).norm() <= 1e-3 * moved[key], key
    assert any(moved.values()), "something has trained"


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


def test_the_plain_loop_trains_torchs_own_convolutions(project: Path) -> None:
    network = PlainLoop(job_of("ModelC", project)).network
    kinds = {type(module) for module in network.modules() if isinstance(module, nn.Conv2d)}
    assert kinds == {nn.Conv2d}


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
    drawn = {tuple(next(iter(stored.batches(4)))[0][0].flatten()[:9].tolist()) for _ in range(40)}
    assert len(drawn) == 2, "both views are drawn"


def test_batches_of_stored_outputs_hold_every_image_once_in_a_new_order(project: Path) -> None:
    stored = StoredOutputs(torch.arange(10.0).reshape(10, 1), torch.arange(10))
    shuffled = stored.batches(4, shuffle=True)
    epochs = [list(shuffled) for _ in range(3)]
    for epoch in epochs:
        assert [len(labels) for _, labels in epoch] == [4, 4, 2] and len(shuffled) == 3
        assert all(torch.equal(outputs, labels.float()) for outputs, labels in epoch)
    orders = {tuple(torch.cat([labels for _, labels in epoch]).tolist()) for epoch in epochs}
    assert len(orders) > 1 and {tuple(sorted(order)) for order in orders} == {tuple(range(10))}
    in_order = torch.cat([labels for _, labels in stored.batches(4)])
    assert torch.equal(in_order, stored.labels)


@pytest.mark.parametrize("name", ["Baseline", "ModelC"])
def test_in_bfloat16_the_plain_loop_goes_where_it_goes_in_float32(name: str, project: Path) -> None:
    """One step of gradient descent, which moves the weights by the gradients' rounded values."""
    job = changed(
        job_of(name, project), optimizer="sgd", schedule="constant", flip=False, weight_decay=0.0
    )
    one = job.experiment.model_copy(update={"batch_size": EVERY_IMAGE, "epochs": 1})
    job = replace(job, experiment=one)
    write_folders(job.starting_point.faces, project / "faces")
    batches = [loader(job, project / "faces", split) for split in (Split.train, Split.val)]
    before = job.network().state_dict()
    moves = []
    for dtype in (torch.float32, torch.bfloat16):
        loop = PlainLoop(job, dtype)
        loop.epoch(*batches)
        after = loop.network.state_dict()
        assert all(after[key].dtype == before[key].dtype for key in before)
        trained = [key for key, _ in loop.network.named_parameters()]
        moves.append(torch.cat([(after[key] - before[key]).flatten() for key in trained]))
    full, half = moves
    assert 0 < (half - full).norm() < 0.3 * full.norm()


def test_answers_are_those_of_float32_whatever_the_loop_trains_in(project: Path) -> None:
    job = job_of("Baseline", project)
    write_folders(job.starting_point.faces, project / "faces")
    loop = PlainLoop(job, torch.bfloat16)
    loop.epoch(*(loader(job, project / "faces", split) for split in (Split.train, Split.val)))
    dtypes = set()
    loop.network.register_forward_hook(lambda _module, _inputs, output: dtypes.add(output.dtype))
    loop.best_accuracy(loader(job, project / "faces", Split.test))
    assert dtypes == {torch.float32}


@pytest.mark.parametrize("terms", [Terms(cached=True), Terms(torch.bfloat16, cached=True)])
def test_a_loop_that_caches_reaches_the_accuracy_of_one_that_does_not(
    terms: Terms, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock that counts the images that get to the network's first convolution."""
    read = []
    clock = SimpleNamespace(perf_counter=lambda: float(sum(read)))
    monkeypatch.setattr("benchmarks.plain.time", clock)

    def count(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        if isinstance(module, nn.Conv2d) and module.in_channels == 3:
            read.append(len(inputs[0]))

    job = job_of("Baseline", project)
    write_folders(job.starting_point.faces, project / "faces")
    with register_module_forward_pre_hook(count):
        whole = train_plain(job, project / "faces", 3)
        cached = train_plain(job, project / "faces", 3, terms)
    assert whole.accuracy == cached.accuracy == 1.0
    training, validation, views = 24, 8, 2
    assert whole.epoch_seconds == 3 * (training + validation,)
    assert cached.epoch_seconds == (views * training + validation, 0, 0)


def test_a_loop_that_has_nothing_to_cache_is_refused(project: Path) -> None:
    with pytest.raises(ConfigError, match="nothing in it is frozen"):
        check_comparable(job_of("ModelC", project), Terms(cached=True))


def test_every_repeat_of_a_comparison_trains_from_a_seed_of_its_own(project: Path) -> None:
    job = job_of("Baseline", project)
    first, second = (
        run_job(job_of_repeat(job, repeat), lambda _epoch: None) for repeat in range(2)
    )
    heads = [result.state["fc.weight"] for result in (first, second)]
    assert not torch.equal(*heads)


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
    assert (run.seconds(0), run.seconds(1), run.seconds(3)) == (0, 5.0, 11.0)
    assert run.seconds(100) == 5.0 + 99 * 3.0


def test_what_the_plain_loop_does_not_support_is_refused_by_name(project: Path) -> None:
    job = job_of("Baseline", project)
    check_comparable(job)
    for recipe, named in (
        ({"augment": Augment(hue=0.1)}, "jitter"),
        ({"unfreeze_at": {"base": 3}}, "gradual unfreezing"),
        ({"freeze_at": {"base": 3}}, "freezing on the way"),
        ({"patience": 3}, "patience"),
        ({"mixup": 0.4}, "mixup"),
        ({"flip_test": True}, "flipped images"),
        ({"batchnorm": "recalibrate"}, "recalibrated"),
    ):
        with pytest.raises(ConfigError, match=named):
            check_comparable(changed(job, **recipe))
    svm = job.experiment.model_copy(update={"head": Head(kind="svm"), "epochs": 1})
    with pytest.raises(ConfigError, match="svm head"):
        check_comparable(replace(job, experiment=svm))
