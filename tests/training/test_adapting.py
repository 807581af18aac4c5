"""Features of an adapting backbone, against running the whole network for the head."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from src.config import Head, Params
from src.data.faceset import FaceSet, Split
from src.models.head import initialize_head
from src.models.network import ModelSpec, Network
from src.models.weights import load_source, random_weights
from src.training.adapting import AdaptingFeatures, BatchSchedule, adapting_features
from src.training.engine import run_job
from src.training.head_task import HeadTask
from src.training.heads import train_heads
from src.training.inputs import ImageInputs
from src.training.loop import Examples, Plan, train
from src.training.order import Purpose, stream
from tests.training.conftest import CPU32, make_job
from tests.training.loops import REFERENCE, run


def features(
    network: Network, faces: FaceSet, spec: ModelSpec, epochs: int, scratch: Path
) -> AdaptingFeatures:
    schedule = BatchSchedule(seed=0, batch_size=8, epochs=epochs, flip=False)
    return adapting_features(faces, network, spec, schedule, CPU32, scratch)


@pytest.mark.parametrize("flip", [False, True])
def test_a_head_on_adapting_features_ends_as_in_the_whole_loop(
    faces: FaceSet, params: Params, tmp_path: Path, flip: bool
) -> None:
    recipe = REFERENCE.model_copy(update={"flip": flip})
    job = make_job(faces, params, recipe, tmp_path, train=("head",), epochs=2)
    head = run_job(job, lambda _epoch: None)

    network = job.network()
    whole = run(network, Plan(recipe, frozenset({"head"}), 2, 8, job.seed), faces, job.spec())
    for ours, theirs in zip(head.history, whole, strict=True):
        assert ours.train_loss == pytest.approx(theirs.train_loss, rel=1e-3)
        assert ours.val_loss == pytest.approx(theirs.val_loss, rel=1e-3)
    for name, buffer in network.named_buffers():
        torch.testing.assert_close(head.state[name], buffer, rtol=1e-4, atol=1e-5)


def test_a_longer_run_extends_the_scratch_file_and_gives_the_same(
    network: Network, faces: FaceSet, spec: ModelSpec, tmp_path: Path
) -> None:
    start = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    whole = features(network, faces, spec, 3, tmp_path / "whole")
    network.load_state_dict(start)
    features(network, faces, spec, 2, tmp_path / "parts")
    network.load_state_dict(start)
    extended = features(network, faces, spec, 3, tmp_path / "parts")
    assert torch.equal(extended.values, whole.values)
    assert torch.equal(extended.val_values, whole.val_values)
    taken_up = features(network, faces, spec, 2, tmp_path / "parts")
    assert torch.equal(taken_up.training(2), whole.training(2))


def test_stochastic_depth_is_a_function_of_seed_and_epoch_and_that_of_the_whole_loop(
    faces: FaceSet, tmp_path: Path
) -> None:
    spec = ModelSpec(
        backbone="efficientnet_b0", stem="standard", image_size=16, subjects=faces.subjects
    )
    source = random_weights("efficientnet_b0", 0)

    def made(state: int, scratch: str, seed: int = 0) -> AdaptingFeatures:
        network = Network(spec)
        load_source(network, source)
        schedule = BatchSchedule(seed, batch_size=8, epochs=2, flip=False)
        torch.manual_seed(state)
        before = torch.get_rng_state()
        found = adapting_features(faces, network, spec, schedule, CPU32, tmp_path / scratch)
        assert torch.equal(torch.get_rng_state(), before)
        return found

    one, other = made(1, "one"), made(2, "other")
    assert torch.equal(one.values, other.values)
    assert torch.equal(one.val_values, other.val_values)
    assert not torch.equal(one.values, made(1, "seed", seed=1).values)

    task = HeadTask(head=Head(), recipe=REFERENCE, epochs=2, batch_size=8, seed=0)
    (head,) = train_heads([task], one, 3)
    network = Network(spec)
    load_source(network, source)
    initialize_head(network.head, stream(Purpose.head, 0))
    training, validation = (
        Examples(ImageInputs(images, spec), labels)
        for images, labels in map(faces.part, (Split.train, Split.val))
    )
    plan = Plan(REFERENCE, frozenset({"head"}), 2, 8, 0)
    whole = train(network, plan, training, validation, CPU32, lambda _epoch: None)
    for ours, theirs in zip(head.history, whole, strict=True):
        assert ours.train_loss == pytest.approx(theirs.train_loss, rel=1e-3)
