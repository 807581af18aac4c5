"""One timed training by the engine."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from src.data.faceset import FaceSet, Split
from src.models.classifier import Classifier
from src.models.network import Network
from src.training.cost import matrix_rate
from src.training.device import Compute
from src.training.engine import run_job
from src.training.job import TrainingJob
from src.training.result import Epoch, TrainingResult

CPU = torch.device("cpu")
WARM_UP = 10.0  # seconds


@dataclass(frozen=True)
class EngineRun:
    """Wall-clock seconds of a whole training.

    once_seconds: the part before the first epoch, mostly the caching of a frozen prefix.
    """

    seconds: float
    once_seconds: float
    fitted: TrainingResult

    def accuracy(self, faces: FaceSet, device: torch.device = CPU) -> float:
        """On the test split, in float32."""
        network = Network(self.fitted.spec)
        network.load_state_dict(self.fitted.state)
        images, labels = faces.part(Split.test)
        classifier = Classifier(network.eval().to(device), self.fitted.spec)
        predicted = classifier.logits(images.to(device)).argmax(1).cpu()
        return (predicted == labels).float().mean().item()


def warm_up(compute: Compute) -> None:
    """Load the processor until it has slowed down to what it can keep up, so that no way gains.

    A Xeon with AMX multiplies two to three times as fast in its first seconds of such work.
    """
    until = time.perf_counter() + WARM_UP
    while time.perf_counter() < until:
        matrix_rate(compute)


def run_engine(job: TrainingJob) -> EngineRun:
    """Train the experiment; the cache is cold unless the job's scratch folder holds one."""
    first: list[float] = []

    def on_epoch(epoch: Epoch) -> None:
        if not first:
            first.append(time.perf_counter() - epoch.seconds)

    started = time.perf_counter()
    fitted = run_job(job, on_epoch)
    if job.compute.device.type == "cuda":
        torch.cuda.synchronize()
    return EngineRun(time.perf_counter() - started, first[0] - started, fitted)
