"""What training cost, as arithmetic: unlike time, the same on every machine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from src.config import Params
from src.data.faceset import FaceSet


def training_flops(params: Params, faces: FaceSet, epochs: Mapping[str, int]) -> dict[str, float]:
    """FLOPs of training each experiment with one seed for so many of its epochs.

    They follow from the layers' shapes, so no weights are read or drawn.
    """
    from src.models.uninitialized import Uninitialized
    from src.models.weights import SourceWeights
    from src.training.cost import epoch_flops
    from src.training.device import resolve
    from src.training.job import StartingPoint, TrainingJob

    nothing = SourceWeights({}, params.model.backbone, origin="")
    start, compute = StartingPoint(faces, nothing, "", ""), resolve("cpu", "float32")
    found = {}
    for name, run in epochs.items():
        experiment = params.experiment(name).model_copy(update={"epochs": run})
        job = TrainingJob.of(name, params, start, Path(), experiment=experiment, compute=compute)
        with Uninitialized():
            found[name] = run * epoch_flops(job)
    return found
