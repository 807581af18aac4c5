"""The script that MLflow runs to load a logged model; this project never imports it.

MLflow copies it and the package `src` beside the weights, so that no pickle is needed.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.protos.databricks_pb2 import BAD_REQUEST
from mlflow.pyfunc.model import PythonModel, PythonModelContext

TOP = 5
UNKNOWN = "unknown"
ATTACHED = "threshold/threshold.safetensors"  # as in `src.tracking.champion`


class Refused(MlflowException):  # type: ignore[misc]
    """An input that cannot be answered: status 400, and one line.

    MLflow's server would put the whole input before the message.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message, error_code=BAD_REQUEST)

    def __setattr__(self, name: str, value: object) -> None:
        """Keep the message that it was made with."""
        if name != "message" or not hasattr(self, name):
            super().__setattr__(name, value)


# MLflow warns that `predict` has no type hint, but would take one for a second signature.
with warnings.catch_warnings(record=True):

    class FaceClassifier(PythonModel):  # type: ignore[misc]
        """From images to subjects and their probabilities."""

        def load_context(self, context: PythonModelContext) -> None:
            """Read the weights logged with the model, and the threshold registered with it."""
            from src.models.classifier import Classifier
            from src.models.threshold import Threshold

            weights = Path(context.artifacts["weights"])
            self.classifier = Classifier.load(weights)
            self.threshold = Threshold.of_model(weights.parent / ATTACHED, weights)

        def predict(self, model_input) -> pd.DataFrame:  # type: ignore[no-untyped-def]
            """N images, in any form that `src.data.received` knows, to N rows.

            `name` is the likeliest subject, with its `probability`, or `unknown` where that is so;
            `subject` is the likeliest in any case, the first of the TOP likeliest. `candidates` are
            the subjects that it may well be, none without a threshold.
            """
            import torch

            from src.data.received import received
            from src.errors import UserError
            from src.models.threshold import answer

            spec, subjects = self.classifier.spec, self.classifier.subjects
            try:
                pixels = received(model_input, spec.image_size, spec.fit)
                images = torch.from_numpy(pixels).permute(0, 3, 1, 2)
                found = answer(self.classifier, self.threshold, images)
            except UserError as error:
                raise Refused(str(error)) from None
            best = found.probabilities.topk(min(TOP, len(subjects)))
            unknown = found.unknown.tolist()
            sets = [[]] * len(images) if found.candidates is None else found.candidates.tolist()
            names = [[subjects[index] for index in row] for row in best.indices.tolist()]
            values = best.values.tolist()
            return pd.DataFrame(
                {
                    "name": [
                        UNKNOWN if nobody else row[0]
                        for nobody, row in zip(unknown, names, strict=True)
                    ],
                    "probability": [row[0] for row in values],
                    "unknown": unknown,
                    "candidates": [
                        [name for name, held in zip(subjects, row, strict=False) if held]
                        for row in sets
                    ],
                    "subject": [row[0] for row in names],
                    "top_subjects": names,
                    "top_probabilities": values,
                }
            )


set_model(FaceClassifier())
