"""This project's engine, as `pipelines.train` runs it: a cold cache, one seed, its own process.

IMAGES is the packed dataset and WEIGHTS the source weights, which the exported images come from.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch

from benchmarks.engine import EngineRun
from benchmarks.options import with_changes
from benchmarks.peers.measure import Measurement, arguments
from src.config import load_params
from src.training.device import resolve
from src.training.engine import run_job
from src.training.job import StartingPoint, TrainingJob
from src.training.result import Epoch


def main() -> None:
    """Fine-tune and write the result."""
    parser = arguments(str(__doc__), batch_size=None)
    parser.add_argument("--experiment", required=True, help="a name of params.yaml")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    params = with_changes(load_params(), options.experiment, options.epochs)
    starting_point = StartingPoint.load(options.images, options.weights)
    measurement = Measurement(options)

    def on_epoch(epoch: Epoch) -> None:
        measurement.epoch(epoch.val_accuracy)

    with tempfile.TemporaryDirectory() as folder:
        job = TrainingJob.of(
            options.experiment,
            params,
            starting_point,
            Path(folder),
            seed=options.seed,
            compute=resolve("cpu", options.precision),
        )
        options.batch_size = job.experiment.batch_size
        options.size, options.workers = starting_point.faces.images.shape[-1], 0
        measurement.start()
        fitted = run_job(job, on_epoch)
        measurement.stop()
    run = EngineRun(measurement.seconds, 0.0, fitted)
    test = run.accuracy(starting_point.faces)
    measurement.write(test, fitted.chosen.number, ("torch", "torchvision"))


if __name__ == "__main__":
    main()
