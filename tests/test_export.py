"""Exported files answer as the network does, without this project and without torch."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image
from torch import Tensor

from src import paths
from src.data.faceset import FaceSet
from src.errors import WeightsError
from src.export import Exported, main, metadata
from src.models.classifier import Classifier
from src.models.network import (
    ModelSpec,
    build_network,
    load_state,
    normalize,
    save_network,
)
from src.models.threshold import Threshold, answer, known_scores
from tests.answered import predict
from tests.thresholds import threshold_for
from tests.tracking.projects import Project

EXAMPLE = Path(__file__).parents[1] / "examples/onnx_predict.py"
TOLERANCE = 1e-4  # of logits
ALONE = """
import runpy, sys
sys.modules["torch"] = sys.modules["src"] = None  # as if they were not installed
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0])
"""


@pytest.fixture(scope="module")
def exported(blueprint: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with both files, of a network that crops, normalises and answers by both views."""
    root = tmp_path_factory.mktemp("exported") / "project"
    shutil.copytree(blueprint, root)
    project = Project(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        state, spec = load_state(project.model)
        spec = replace(spec, crop=24, mean=(0.4, 0.5, 0.6), deviation=(0.2, 0.3, 0.2))
        spec = replace(spec, temperature=0.5, flip_test=True)
        images = FaceSet.load(project.faces).images
        save_network(project.model, adapted(state, spec, images), spec)
        threshold = threshold_for(project, 0.0)
        classifier = Classifier.load(project.model)
        features, logits = classifier.outputs(images)
        assert threshold.means is not None
        scores = known_scores(logits, features, 0.5, threshold.means)["distance"]
        middle = float(scores.quantile(0.5))  # so that some are unknown
        replace(threshold, score="distance", value=middle).save(paths.THRESHOLD)
        main(["--model", str(project.model), "--onnx", "model.onnx", "--torch", "model.pt2"])
    return project


def adapted(state: dict[str, Tensor], spec: ModelSpec, images: Tensor) -> dict[str, Tensor]:
    """Random weights with the images' statistics in BatchNorm, so that images differ in the end."""
    network = build_network(state, spec, "the test's").train()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None  # the mean over all batches
    with torch.no_grad():
        network(normalize(images, spec))
    return network.state_dict()


def answers(project: Project, file: str, images: Tensor) -> tuple[Tensor, ...]:
    if file == "model.pt2":
        with torch.no_grad():
            return tuple(torch.export.load(project.root / file).module()(images))
    session = onnxruntime.InferenceSession(project.root / file)
    return tuple(torch.from_numpy(each) for each in session.run(None, {"images": images.numpy()}))


@pytest.mark.parametrize("count", [1, 2, 6])
@pytest.mark.parametrize("file", ["model.onnx", "model.pt2"])
def test_a_file_answers_as_the_network_does(exported: Project, file: str, count: int) -> None:
    classifier = Classifier.load(exported.root / exported.model)
    threshold = Threshold.load(exported.root / paths.THRESHOLD)
    images = FaceSet.load(exported.root / exported.faces).images[:count]
    wanted = answer(classifier, threshold, images)
    probabilities, scores = answers(exported, file, images)
    difference = (probabilities.log() - wanted.probabilities.log()) * classifier.spec.temperature
    assert difference.abs().max() < TOLERANCE
    assert torch.equal(probabilities.argmax(1), wanted.probabilities.argmax(1))
    features, logits = classifier.outputs(images)
    assert threshold.means is not None
    found = known_scores(logits, features, classifier.spec.temperature, threshold.means)
    torch.testing.assert_close(scores, found["distance"].float(), atol=TOLERANCE, rtol=0)
    clear = (found["distance"] - threshold.value).abs() > TOLERANCE
    assert clear.any()
    assert torch.equal((scores <= threshold.value)[clear], wanted.unknown[clear])


def test_a_file_says_what_it_is(exported: Project) -> None:
    session = onnxruntime.InferenceSession(exported.root / "model.onnx")
    extra = dict.fromkeys(session.get_modelmeta().custom_metadata_map, "")
    torch.export.load(exported.root / "model.pt2", extra_files=extra)
    about = {key: json.loads(value) for key, value in extra.items()}
    threshold = Threshold.load(exported.root / paths.THRESHOLD)
    assert about["subjects"] == ["ann", "bob", "eve"]
    assert (about["image_size"], about["fit"]) == (32, "crop")
    assert (about["score"], about["threshold"]) == ("distance", threshold.value)
    assert about["licence"] and about["producer"].startswith("face-finetune ")
    assert extra == session.get_modelmeta().custom_metadata_map


def test_the_example_needs_neither_torch_nor_this_project(
    exported: Project, tmp_path: Path
) -> None:
    classifier = Classifier.load(exported.root / exported.model)
    threshold = Threshold.load(exported.root / paths.THRESHOLD)
    draw, said = np.random.default_rng(0).integers, []
    photos = [tmp_path / f"{place}.png" for place in range(4)]
    for place, photo in enumerate(photos):
        pixels = draw(0, 60 * (place + 1), (40, 48, 3), np.uint8)
        Image.fromarray(pixels).save(photo)
        command = [sys.executable, "-I", "-c", ALONE, str(EXAMPLE), "model.onnx", str(photo)]
        done = subprocess.run(
            command, cwd=exported.root, capture_output=True, text=True, check=True
        )
        said.append(done.stdout.split())
    for (name, probability), wanted in zip(
        said, predict(classifier, threshold, photos, 1), strict=True
    ):
        assert name == wanted.name
        assert float(probability) == pytest.approx(wanted.subjects[0][1], abs=1e-4)


@pytest.mark.parametrize("score", ["probability", "energy", None])
def test_each_kind_of_score_is_an_output(project: Project, score: str | None) -> None:
    classifier, threshold = Classifier.load(project.model), None
    images = FaceSet.load(project.faces).images
    if score:
        threshold = replace(threshold_for(project, 0.1), score=score)
    with torch.no_grad():
        probabilities, found = Exported(classifier, threshold)(images)
    features, logits = classifier.outputs(images)
    wanted = probabilities.amax(1)
    if threshold is not None and score is not None and threshold.means is not None:
        wanted = known_scores(logits, features, 1.0, threshold.means)[score].float()
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)
    about = metadata(classifier, threshold)
    assert json.loads(about["score"]) == score
    assert json.loads(about["threshold"]) == (0.1 if score else None)


def test_without_a_file_to_write_the_command_says_so(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--model", str(project.model)])
    assert "give --onnx, --torch or both" in capsys.readouterr().err


def test_one_file_for_both_formats_is_refused(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--model", str(project.model), "--onnx", "model", "--torch", "./model"])
    assert "--onnx and --torch name the same file" in capsys.readouterr().err
    assert not Path("model").exists()


def test_a_file_that_is_no_model_is_one_line_and_nothing_is_written(project: Project) -> None:
    Path("none.safetensors").write_bytes(b"none")
    with pytest.raises(WeightsError, match="not a trained network of this project"):
        main(["--model", "none.safetensors", "--onnx", "model.onnx"])
    assert not Path("model.onnx").exists()
