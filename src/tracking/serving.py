"""The script that MLflow runs to load a logged model; this project never imports it.

MLflow copies it and the package `src` beside the weights, so that no pickle is needed.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext

TOP = 5

# MLflow warns that `predict` has no type hint, but would take one for a second signature.
with warnings.catch_warnings(record=True):

    class FaceClassifier(PythonModel):  # type: ignore[misc]
        """From images to subjects and their probabilities."""

        def load_context(self, context: PythonModelContext) -> None:
            """Read the weights that were logged with the model."""
            from src.models.classifier import Classifier

            self.classifier = Classifier.load(Path(context.artifacts["weights"]))

        def predict(self, model_input) -> pd.DataFrame:  # type: ignore[no-untyped-def]
            """(N, S, S, 3) uint8 RGB to N rows: the likeliest subject, and the TOP likeliest."""
            import torch

            images = torch.from_numpy(np.asarray(model_input).transpose(0, 3, 1, 2))
            subjects = self.classifier.subjects
            best = self.classifier.probabilities(images).topk(min(TOP, len(subjects)))
            names = [[subjects[index] for index in row] for row in best.indices.tolist()]
            values = best.values.tolist()
            return pd.DataFrame(
                {
                    "subject": [row[0] for row in names],
                    "probability": [row[0] for row in values],
                    "top_subjects": names,
                    "top_probabilities": values,
                }
            )


set_model(FaceClassifier())
