"""With `flip_test`, an answer comes from the mean of the features of an image and of its mirror."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from src.config import Params, Recipe
from src.data.faceset import FaceSet, Split
from src.evaluation.inference import shared_logits
from src.models.classifier import Classifier
from src.models.network import ModelSpec, Network, load_network, normalize, save_network
from src.training.engine import run_job
from src.training.result import TrainingResult
from tests.training.conftest import make_job


def naive(network: Network, images: Tensor, spec: ModelSpec) -> Tensor:
    """Logits of images one by one, each shown twice."""
    rows = []
    for image in images:
        shown = torch.stack([image, torch.flip(image, [2])])
        features = network.run(normalize(shown, spec), 0, len(network.blocks))
        rows.append(network.head((features[:1] + features[1:]) / 2))
    return torch.cat(rows)


def classifier(result: TrainingResult) -> Classifier:
    network = Network(result.spec)
    network.load_state_dict(result.state)
    return Classifier(network.eval(), result.spec)


def test_logits_are_those_of_the_mean_features_of_both_views(
    network: Network, faces: FaceSet, spec: ModelSpec
) -> None:
    images, _ = faces.part(Split.val)
    network.eval()
    once = Classifier(network, replace(spec, crop=13))
    both = Classifier(network, replace(spec, crop=13, flip_test=True))
    with torch.no_grad():
        torch.testing.assert_close(both.logits(images), naive(network, images, once.spec))
    assert not torch.allclose(both.logits(images), once.logits(images))
    torch.testing.assert_close(both.logits(images), both.logits(images.flip(3)))


def test_a_model_file_says_so_and_others_are_as_before(
    network: Network, spec: ModelSpec, tmp_path: Path
) -> None:
    assert "flip_test" not in spec.stored_form()
    path = tmp_path / "model.safetensors"
    save_network(path, network.state_dict(), replace(spec, flip_test=True))
    assert load_network(path)[1].flip_test
    with pytest.raises(ValueError):
        ModelSpec.from_stored_form({**spec.stored_form(), "flip_test": "yes"})


def test_networks_that_show_both_views_share_blocks_with_others_that_do_not(
    network: Network, faces: FaceSet, spec: ModelSpec
) -> None:
    images, _ = faces.part(Split.train)
    network.eval().to(memory_format=torch.channels_last)
    members = {
        name: Classifier(network, replace(spec, flip_test=both))
        for name, both in (("one", False), ("both", True), ("again", True), ("last", False))
    }
    found = shared_logits(
        {name: [member] for name, member in members.items()}, images, torch.device("cpu")
    )
    for name, member in members.items():
        torch.testing.assert_close(found[name][0], member.logits(images), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("train", "changes"),
    [
        (("head",), {}),
        (("head",), {"flip": False}),
        (("head",), {"batchnorm": "adapt"}),
        (("head",), {"mixup": 0.4}),
        (("head", "conv5_x"), {}),
        (("all",), {"batchnorm": "train"}),
    ],
)
def test_every_way_of_training_validates_as_the_network_will_answer(
    faces: FaceSet,
    params: Params,
    recipe: Recipe,
    tmp_path: Path,
    train: tuple[str, ...],
    changes: dict[str, object],
) -> None:
    recipe = recipe.model_copy(update={"flip_test": True, "select": "last", **changes})
    job = make_job(faces, params, recipe, tmp_path, train=train, epochs=2)
    result = run_job(job, lambda _epoch: None)
    assert result.spec.flip_test
    images, labels = faces.part(Split.val)
    own = classifier(result)
    with torch.no_grad():
        logits = naive(own.network, images, own.spec)
    torch.testing.assert_close(own.logits(images), logits, rtol=1e-4, atol=1e-4)
    last = result.history[-1]
    assert last.val_loss == pytest.approx(F.cross_entropy(logits, labels).item(), rel=1e-3)
    assert last.val_accuracy == pytest.approx((logits.argmax(1) == labels).float().mean().item())


def test_a_classical_head_is_scored_on_both_views(
    faces: FaceSet, params: Params, recipe: Recipe, tmp_path: Path
) -> None:
    recipe = recipe.model_copy(update={"flip_test": True})
    job = make_job(
        faces, params, recipe, tmp_path, train=("head",), head={"kind": "logistic"}, epochs=1
    )
    result = run_job(job, lambda _epoch: None)
    images, labels = faces.part(Split.val)
    own = classifier(result)
    with torch.no_grad():
        loss = F.cross_entropy(naive(own.network, images, own.spec), labels)
    assert result.history[-1].val_loss == pytest.approx(loss.item(), rel=1e-3)


def test_training_is_the_same_with_and_without(
    faces: FaceSet, params: Params, recipe: Recipe, tmp_path: Path
) -> None:
    recipe = recipe.model_copy(update={"select": "last"})
    states = []
    for both in (False, True):
        changed = recipe.model_copy(update={"flip_test": both})
        job = make_job(
            faces, params, changed, tmp_path / str(both), train=("head", "conv5_x"), epochs=2
        )
        job.scratch.mkdir()
        states.append(run_job(job, lambda _epoch: None).state)
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
