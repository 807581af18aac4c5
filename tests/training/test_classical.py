"""Heads that scikit-learn fits predict what scikit-learn predicts, from any block's features."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from torch.nn import functional

from src.config import Head, Params, load_params
from src.config.head import HEAD_KINDS
from src.data.faceset import FaceSet, Split
from src.errors import ConfigError
from src.evaluation.inference import shared_logits
from src.models.classifier import Classifier
from src.models.head import build_head
from src.models.network import Network, load_network, normalize, save_network
from src.training import classical
from src.training.engine import run_job
from src.training.features import BlockFeatures, FeatureProvenance, Features
from src.training.job import TrainingJob, make_features
from src.training.result import TrainingResult
from tests.shipped import SHIPPED
from tests.training.conftest import make_job

MADE = FeatureProvenance(
    "f", "s", "freeze", (0.0,) * 3, (1.0,) * 3, "resnet18", "stride1", "float32"
)
ORACLES: dict[str, Callable[[], Any]] = {
    "svm": lambda: LinearSVC(C=0.01, random_state=0, max_iter=5000),
    "logistic": lambda: LogisticRegression(C=0.01, max_iter=1000),
    "centroid": NearestCentroid,
    "knn": lambda: KNeighborsClassifier(3),
}


def clouds(classes: int) -> Features:
    draw = np.random.default_rng(3)
    labels = np.arange(classes).repeat(15)
    centres = draw.normal(0, 1, (classes, 8))
    scale = np.array([100, 10, 1, 1, 1, 1, 0.1, 0.01])
    values, more = (centres[labels] + draw.normal(0, 1, (len(labels), 8)) for _ in "ab")
    values, more = (torch.tensor(v * scale + 5, dtype=torch.float32) for v in (values, more))
    names, given = tuple(map(str, range(classes))), torch.from_numpy(labels)
    return Features(
        {"conv5_x": BlockFeatures(values[None], more[None])}, given, given, {}, names, MADE, ""
    )


def test_every_classical_kind_is_held_against_scikit_learn_here() -> None:
    assert set(ORACLES) == {name for name, kind in HEAD_KINDS.items() if kind.classical}


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("kind", ORACLES)
def test_the_head_predicts_as_scikit_learn_does(
    kind: str, classes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(classical, "STRENGTHS", (0.01,))
    monkeypatch.setattr(classical, "NEIGHBOURS", (3,))
    features = clouds(classes)
    head = build_head(Head(kind=kind), 8, classes, stored=15 * classes)
    epoch = classical.fit_classical(kind, head, features, 0)
    oracle = make_pipeline(StandardScaler(), ORACLES[kind]())
    oracle.fit(features.values[0].numpy(), features.labels.numpy())
    predicted = oracle.predict(features.val_values.numpy())
    assert head(features.val_values).argmax(1).tolist() == predicted.tolist()
    assert epoch.val_accuracy == pytest.approx((predicted == features.val_labels.numpy()).mean())
    assert 1 / classes < epoch.val_accuracy < 1


@pytest.mark.parametrize("kind", ["svm", "logistic", "knn"])
def test_its_parameter_is_the_one_that_scikit_learns_search_finds_on_unflipped_images(
    kind: str,
) -> None:
    features = clouds(5)
    values, labels = features.values[0].numpy(), features.labels.numpy()
    oracle = make_pipeline(StandardScaler(), ORACLES[kind]())
    name, grid = (
        ("n_neighbors", classical.NEIGHBOURS) if kind == "knn" else ("C", classical.STRENGTHS)
    )
    step = oracle.steps[-1][0]
    folds = StratifiedKFold(classical.FOLDS, shuffle=True, random_state=0)
    search = GridSearchCV(oracle, {f"{step}__{name}": grid}, cv=folds).fit(values, labels)
    scores = search.cv_results_["mean_test_score"]
    assert scores.argmax() > 0 and scores.max() > scores.min() + 0.02, "another would be noticed"

    flipped = torch.randn(features.values[0].shape, generator=torch.Generator().manual_seed(1))
    pooled = BlockFeatures(torch.stack([features.values[0], flipped]), features.val_values[None])
    head = build_head(Head(kind=kind), 8, 5, stored=len(labels))
    classical.fit_classical(kind, head, replace(features, blocks={"conv5_x": pooled}), 0)
    expected = search.best_estimator_.predict(features.val_values.numpy())
    assert head(features.val_values).argmax(1).tolist() == expected.tolist()


@pytest.mark.parametrize("kind", ["knn", "svm"])
def test_scores_are_the_same_however_many_images_are_compared_at_a_time(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    features, epochs = clouds(3), []
    for part in (7, 1000):
        monkeypatch.setattr(classical, "PART", part)
        head = build_head(Head(kind=kind), 8, 3, len(features.labels))
        epochs.append(classical.fit_classical(kind, head, features, 0))
    assert epochs[0].val_accuracy == epochs[1].val_accuracy
    assert epochs[0].train_loss == pytest.approx(epochs[1].train_loss, rel=1e-5)


@pytest.mark.parametrize("classes", [2, 7])
def test_of_one_image_of_each_subject_the_nearest_decides(classes: int) -> None:
    values = torch.randn(classes, 8, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(classes)
    pooled = {"conv5_x": BlockFeatures(values[None], values[None])}
    features = Features(pooled, labels, labels, {}, tuple(map(str, range(classes))), MADE, "")
    head = build_head(Head(kind="knn"), 8, classes, stored=classes)
    assert classical.fit_classical("knn", head, features, 0).val_accuracy == 1


def test_logistic_regression_keeps_its_probabilities(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classical, "STRENGTHS", (0.01,))
    for classes in (2, 4):
        features, head = clouds(classes), build_head(Head(), 8, classes)
        classical.fit_classical("logistic", head, features, 0)
        oracle = make_pipeline(StandardScaler(), ORACLES["logistic"]())
        oracle.fit(features.values[0].numpy(), features.labels.numpy())
        with torch.no_grad():
            mine = head(features.val_values).softmax(1).numpy()
        np.testing.assert_allclose(
            mine, oracle.predict_proba(features.val_values.numpy()), atol=1e-4
        )


def test_c_is_chosen_on_training_images_alone() -> None:
    """Validation features of pure noise leave the fitted head as it was."""
    features = clouds(3)
    pooled = BlockFeatures(features.values, torch.randn_like(features.val_values)[None])
    noise = replace(features, blocks={"conv5_x": pooled})
    heads = [build_head(Head(), 8, 3) for _ in "ab"]
    for head, given in zip(heads, (features, noise), strict=True):
        classical.fit_classical("svm", head, given, 0)
    one, two = (head.state_dict() for head in heads)
    assert all(torch.equal(one[name], two[name]) for name in one)


def job(faces: FaceSet, params: Params, folder: Path, **keys: object) -> TrainingJob:
    settings = {"train": ("head",), "epochs": 1} | keys
    return make_job(faces, params, params.recipes["tuned"], folder, **settings)


def run(faces: FaceSet, params: Params, folder: Path, **keys: object) -> TrainingResult:
    return run_job(job(faces, params, folder, **keys), lambda _epoch: None)


def test_any_blocks_pooled_output_can_be_the_features(
    faces: FaceSet, params: Params, tmp_path: Path
) -> None:
    whole = run(faces, params, tmp_path)
    fitted = run(faces, params, tmp_path, features="conv3_x", head={"kind": "logistic"})
    save_network(tmp_path / "model.safetensors", fitted.state, fitted.spec)
    network, spec = load_network(tmp_path / "model.safetensors")
    assert not [name for name in fitted.state if name.startswith(("layer3", "layer4"))]
    images, _ = faces.part(Split.test)
    full = Network(whole.spec)
    full.load_state_dict(whole.state)
    with torch.no_grad():
        expected = functional.adaptive_avg_pool2d(
            full.eval().run(normalize(images, spec), 0, 3), 1
        ).flatten(1)
        assert torch.allclose(network.run(normalize(images, spec), 0, 3), expected, atol=1e-5)


@pytest.mark.parametrize("kind", ["mlp", "svm"])
def test_one_pass_of_the_whole_network_serves_a_head_on_any_block(
    kind: str, faces: FaceSet, params: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = make_features(job(faces, params, tmp_path))
    given.save(tmp_path / "features.safetensors")
    loaded = Features.load(tmp_path / "features.safetensors")
    cut = job(faces, params, tmp_path / "scratch", features="conv3_x", head={"kind": kind})
    anew = run_job(cut, lambda _epoch: None)
    monkeypatch.setattr("src.training.job.make_features", None)
    for features in (loaded, None):  # given by a stage, and kept by the fit before
        reused = run_job(cut, lambda _epoch: None, features)
        assert all(torch.equal(reused.state[name], anew.state[name]) for name in anew.state)


def test_every_blocks_features_are_its_output_averaged_over_its_map(
    faces: FaceSet, params: Params, tmp_path: Path
) -> None:
    fitting = job(faces, params, tmp_path)
    features, network = make_features(fitting), fitting.network().eval()
    assert list(features.blocks) == list(network.blocks)
    images, _ = faces.part(Split.train)
    for stop, (block, pooled) in enumerate(features.blocks.items(), 1):
        assert features.at(block).values is pooled.values
        for view, inputs in enumerate((images, images.flip(3))):
            with torch.no_grad():
                output = network.run(normalize(inputs, fitting.spec()), 0, stop)
            expected = output.flatten(2).mean(2) if output.ndim == 4 else output
            torch.testing.assert_close(pooled.values[view], expected, rtol=1e-3, atol=1e-4)


def test_networks_cut_off_at_different_blocks_are_evaluated_together(
    faces: FaceSet, params: Params, tmp_path: Path
) -> None:
    """What they share is run once, although one pools where the other goes on."""
    heads = {
        "whole": {},
        "cut": {"features": "conv4_x", "head": {"kind": "knn"}},
        "svm": {"head": {"kind": "svm"}},
    }
    classifiers = {}
    for name, keys in heads.items():
        fitted = run(faces, params, tmp_path, **keys)
        network = Network(fitted.spec)
        network.load_state_dict(fitted.state)
        classifiers[name] = Classifier(network.eval(), fitted.spec)
    images, _ = faces.part(Split.test)
    seeds = {name: [classifier] for name, classifier in classifiers.items()}
    together = shared_logits(seeds, images, torch.device("cpu"))
    for name, classifier in classifiers.items():
        assert torch.allclose(together[name][0], classifier.logits(images), atol=1e-5), name


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"head": {"kind": "svm"}, "train": ["all"], "epochs": 1}, "fitted once"),
        ({"head": {"kind": "svm"}, "train": ["head"], "epochs": 2}, "fitted once"),
        ({"head": {"kind": "knn", "hidden": [4]}, "train": ["head"], "epochs": 1}, "no hidden"),
        ({"features": "conv9_x", "train": ["head"], "epochs": 1}, "conv5_x"),
        ({"features": "conv3_x", "train": ["head", "conv4_x"], "epochs": 1}, "cut off"),
    ],
)
def test_what_cannot_be_fitted_is_refused(
    keys: dict[str, object], said: str, tmp_path: Path
) -> None:
    import yaml

    raw = yaml.safe_load((SHIPPED / "params.yaml").read_text(encoding="utf-8"))
    raw["experiments"] = {"one": {"batch_size": 8} | keys}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(raw), encoding="utf-8")
    with pytest.raises(ConfigError, match=said):
        load_params(tmp_path / "params.yaml")
