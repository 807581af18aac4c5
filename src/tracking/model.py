"""Logging a trained network as an MLflow model: loadable, servable, and free of pickle."""

from __future__ import annotations

import io
import shutil
import tempfile
from base64 import b64encode
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from src.files import digest
from src.tracking.champion import MODEL_MD5
from src.tracking.store import Backend, Store

if TYPE_CHECKING:
    import numpy as np
    from mlflow.entities import LoggedModel
    from mlflow.models import ModelSignature
    from numpy.typing import NDArray

SERVING = Path(__file__).with_name("serving.py")
PACKAGE = Path(__file__).parents[1]
WHOLE = {"MLmodel", "code", SERVING.name}  # what a model needs beside its weights, to be loaded
NEEDED = (
    *("mlflow", "numpy", "pandas", "pillow", "pydantic", "ruamel.yaml", "safetensors"),
    *("torch", "torchvision"),
)


def log_model(
    store: Store, run_id: str, name: str, weights: Path, example: NDArray[np.uint8]
) -> str:
    """Log the model file `weights` under a run; returns the new model's id.

    `example` is (N ≥ 2, S, S, 3) uint8 RGB images, stored as the model's input example, as a client
    would send them.
    """
    from mlflow.entities import LoggedModelOutput

    if len(example) < 2:
        raise ValueError("an input example has at least two images")
    model = store.client.create_logged_model(
        store.experiment_id,
        name=name,
        source_run_id=run_id,
        model_type="classifier",
        tags={MODEL_MD5: digest(weights)},
    )
    write_files(store, model.artifact_location, run_id, model.model_id, weights, example)
    store.client.finalize_logged_model(model.model_id, "READY")
    store.client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])
    return str(model.model_id)


def model_of(store: Store, run_id: str) -> LoggedModel | None:
    """The model logged last under a run that has not been deleted since; None if there is none."""
    from mlflow.exceptions import MlflowException

    outputs, found = store.client.get_run(run_id).outputs, []
    for output in outputs.model_outputs if outputs else []:  # in any order
        try:
            found.append(store.client.get_logged_model(output.model_id))
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
    return max(found, key=lambda model: model.creation_timestamp, default=None)


def has_model(store: Store, run_id: str, md5: str) -> bool:
    """Whether the model that a run logged last is of a file with this md5."""
    model = model_of(store, run_id)
    return model is not None and model.tags.get(MODEL_MD5) == md5


def has_files(store: Backend, location: str, md5: str) -> bool:
    """Whether a model's files are at `location`; if they are local, also whether the md5 is right.

    They are listed, not fetched, which costs a server little.
    """
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    found = get_artifact_repository(location, tracking_uri=store.uri)
    listed = [file.path for folder in (None, "artifacts") for file in found.list_artifacts(folder)]
    weights = next((path for path in listed if path.endswith(".safetensors")), None)
    if weights is None or not WHOLE.issubset(listed):
        return False
    local = Path(location) / weights
    return not local.is_file() or digest(local) == md5


def write_files(
    store: Backend,
    location: str,
    run_id: str,
    model_id: str | None,
    weights: Path,
    example: NDArray[np.uint8],
) -> None:
    """Write a model's files to `location`, replacing any; further arguments as for `log_model`."""
    from mlflow.models import Model
    from mlflow.pyfunc import save_model
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    _skip_package_map()
    with tempfile.TemporaryDirectory() as folder:
        # MLflow takes no links out of a folder, and DVC may have made one to its cache.
        copy = Path(shutil.copy(weights, folder))
        path = Path(folder) / "model"
        save_model(
            path=path,
            python_model=str(SERVING),
            artifacts={"weights": str(copy)},
            code_paths=[str(PACKAGE)],
            signature=_signature(),
            input_example=[_png(image) for image in example],
            pip_requirements=[f"{package}=={_public(package)}" for package in NEEDED],
            mlflow_model=Model(artifact_path=location, run_id=run_id, model_id=model_id),
        )
        get_artifact_repository(location, tracking_uri=store.uri).log_artifacts(str(path))


def _skip_package_map() -> None:
    """Spare MLflow a list of all files of all packages, which takes it a second.

    It compares the requirements with what is installed, and the list finds packages by the names of
    their modules. The requirements here are the installed versions themselves.
    """
    from mlflow.utils import requirements_utils

    requirements_utils._MODULES_TO_PACKAGES = {}


def _png(image: NDArray[np.uint8]) -> str:
    """(S, S, 3) uint8 RGB as a PNG file in base64."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return b64encode(file.getvalue()).decode()


def _signature() -> ModelSignature:
    """Anything in, which `src.data.received` checks; MLflow's own check knows only one form.

    Without a check of its own, its server hands on what stands under the key `inputs` as it is.
    """
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema
    from mlflow.types.schema import AnyType, Array

    signature = ModelSignature(
        inputs=Schema([ColSpec(AnyType())]),
        outputs=Schema(
            [
                ColSpec(DataType.string, "name"),
                ColSpec(DataType.double, "probability"),
                ColSpec(DataType.boolean, "unknown"),
                ColSpec(Array(DataType.string), "candidates"),
                ColSpec(DataType.string, "subject"),
                ColSpec(Array(DataType.string), "top_subjects"),
                ColSpec(Array(DataType.double), "top_probabilities"),
            ]
        ),
    )
    signature._is_signature_from_type_hint = True
    return signature


def _public(package: str) -> str:
    """The installed version without its local part (`+cpu`), which package indexes lack."""
    return version(package).split("+")[0]
