"""Logging a trained network as an MLflow model: loadable, servable, and free of pickle."""

from __future__ import annotations

import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from src.files import digest
from src.tracking.store import Store

if TYPE_CHECKING:
    import numpy as np
    from mlflow.models import ModelSignature
    from numpy.typing import NDArray

SERVING = Path(__file__).with_name("serving.py")
PACKAGE = Path(__file__).parents[1]
NEEDED = ("mlflow", "numpy", "pandas", "safetensors", "torch", "torchvision")


def log_model(
    store: Store, run_id: str, name: str, weights: Path, example: NDArray[np.uint8]
) -> str:
    """Log the model file `weights` under a run; returns the new model's id.

    `example` is (N ≥ 2, S, S, 3) uint8 RGB images, stored as the model's input example. Their
    size decides the signature.
    """
    from mlflow.entities import LoggedModelOutput

    if len(example) < 2:
        raise ValueError("an input example has at least two images")
    model = store.client.create_logged_model(
        store.experiment_id, name=name, source_run_id=run_id, model_type="classifier"
    )
    write_files(store, model.model_id, weights, example)
    store.client.finalize_logged_model(model.model_id, "READY")
    store.client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])
    return str(model.model_id)


def has_files(store: Store, model_id: str, md5: str) -> bool:
    """Whether a logged model has its files; if they are local, also whether the md5 is right."""
    client = store.client
    listed = [
        file.path
        for folder in (None, "artifacts")
        for file in client.list_logged_model_artifacts(model_id, folder)
    ]
    weights = next((path for path in listed if path.endswith(".safetensors")), None)
    if weights is None or "MLmodel" not in listed:
        return False
    local = Path(client.get_logged_model(model_id).artifact_location) / weights
    return not local.is_file() or digest(local) == md5


def write_files(store: Store, model_id: str, weights: Path, example: NDArray[np.uint8]) -> None:
    """Write the files of a logged model, replacing any; arguments as for `log_model`."""
    from mlflow.models import Model
    from mlflow.pyfunc import save_model

    _skip_package_map()
    model = store.client.get_logged_model(model_id)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        save_model(
            path=path,
            python_model=str(SERVING),
            artifacts={"weights": str(weights.resolve())},
            code_paths=[str(PACKAGE)],
            signature=_signature(example.shape[1]),
            input_example=example,
            pip_requirements=[f"{package}=={_public(package)}" for package in NEEDED],
            mlflow_model=Model(
                artifact_path=model.artifact_location,
                run_id=model.source_run_id,
                model_id=model_id,
            ),
        )
        store.client.log_model_artifacts(model_id, str(path))


def _skip_package_map() -> None:
    """Spare MLflow a list of all files of all packages, which takes it a second.

    It compares the requirements with what is installed, and the list finds packages by the names of
    their modules. The requirements here are the installed versions themselves.
    """
    from mlflow.utils import requirements_utils

    requirements_utils._MODULES_TO_PACKAGES = {}


def _signature(size: int) -> ModelSignature:
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema, TensorSpec
    from mlflow.types.schema import Array

    return ModelSignature(
        inputs=Schema([TensorSpec(np.dtype(np.uint8), (-1, size, size, 3))]),
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


def _public(package: str) -> str:
    """The installed version without its local part (`+cpu`), which package indexes lack."""
    return version(package).split("+")[0]
