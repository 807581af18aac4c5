"""A logged model loads anywhere, without a pickle, and answers as the network does."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas
import pytest

from src.data.faceset import FaceSet
from src.tracking.model import log_model
from src.tracking.store import open_store
from tests.tracking.finished import finish_run
from tests.tracking.projects import EXPERIMENT, Project

LOAD = """
import json, pickle, sys
import cloudpickle, mlflow, torch
from mlflow.models.utils import load_serving_example

def refuse(*args, **kwargs):
    raise RuntimeError("something was unpickled")

uri = sys.argv[1]
mlflow.set_tracking_uri(uri)
for module in (pickle, cloudpickle):
    module.load = module.loads = refuse
pickle.Unpickler = torch.load = refuse
model = mlflow.pyfunc.load_model(sys.argv[2])
answer = model.predict(model.input_example)
import src
served = json.loads(load_serving_example(sys.argv[2]))["inputs"]
print(json.dumps({
    "subject": answer.subject.tolist(),
    "top_subjects": answer.top_subjects.tolist(),
    "top_probabilities": answer.top_probabilities.tolist(),
    "code": src.__file__,
    "served": model.input_example == served,
    "files": [file[:6] for file in served],
}))
"""


def model_uri(run_id: str) -> tuple[str, Path]:
    store = open_store(EXPERIMENT)
    (output,) = store.client.get_run(run_id).outputs.model_outputs
    model = store.client.get_logged_model(output.model_id)
    assert model.status == "READY"
    return f"models:/{output.model_id}", Path(model.artifact_location)


def test_a_model_loads_in_a_process_elsewhere_without_unpickling(
    project: Project, tmp_path: Path
) -> None:
    from src.models.classifier import Classifier

    uri, folder = model_uri(finish_run(project).run_id)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = subprocess.run(
        [sys.executable, "-I", "-c", LOAD, open_store(EXPERIMENT).uri, uri],
        cwd=elsewhere,
        capture_output=True,
        text=True,
        check=True,
    )
    answer = json.loads(done.stdout)
    assert answer["code"] == str(folder / "code" / "src" / "__init__.py")
    assert answer["served"]
    assert answer["files"] == ["iVBORw"] * 2  # how a PNG begins in base64
    classifier = Classifier.load(project.model)
    expected = classifier.probabilities(FaceSet.load(project.faces).images[:2]).numpy()
    order = expected.argsort(1)[:, ::-1]
    names = np.array(classifier.subjects)[order]
    assert answer["top_subjects"] == names.tolist()
    assert answer["subject"] == names[:, 0].tolist()
    ordered = np.take_along_axis(expected, order, 1)
    np.testing.assert_allclose(answer["top_probabilities"], ordered, atol=1e-5)


def test_no_file_of_a_model_is_a_pickle(project: Project) -> None:
    _, folder = model_uri(finish_run(project).run_id)
    suffixes = {path.suffix for path in folder.rglob("*") if path.is_file()}
    assert not suffixes & {".pkl", ".pickle", ".pt", ".pth", ".bin"}
    assert ".safetensors" in suffixes
    assert "input_example.json" in {path.name for path in folder.iterdir()}
    requirements = (folder / "requirements.txt").read_text().split()
    assert all("==" in line and "+" not in line for line in requirements)


def test_images_of_another_size_or_type_are_refused(project: Project) -> None:
    from mlflow.exceptions import MlflowException
    from mlflow.pyfunc import load_model

    _, folder = model_uri(finish_run(project).run_id)
    model = load_model(str(folder))
    wrong = {
        "images of 16x16x3, not of 32x32x3": np.zeros((2, 16, 16, 3), np.uint8),
        "an array of float32, not uint8": np.zeros((2, 32, 32, 3), np.float32),
    }
    for what, images in wrong.items():
        with pytest.raises(MlflowException, match=what):
            model.predict(images)


def test_files_and_their_pixels_are_answered_alike(project: Project) -> None:
    from mlflow.pyfunc import load_model

    _, folder = model_uri(finish_run(project).run_id)
    model, faces = load_model(str(folder)), FaceSet.load(project.faces)
    pixels = faces.images[:2].permute(0, 2, 3, 1).numpy()
    files = [base64.b64decode(file) for file in model.input_example]
    for form in (model.input_example, files, pixels, pixels.tolist()):
        pandas.testing.assert_frame_equal(model.predict(form), model.predict(pixels))


def test_one_example_is_not_enough(project: Project) -> None:
    run_id = finish_run(project).run_id
    with pytest.raises(ValueError, match="at least two"):
        log_model(
            open_store(EXPERIMENT), run_id, "x", project.model, np.zeros((1, 32, 32, 3), np.uint8)
        )
