"""`python -m benchmarks.convolutions`: training steps with our convolutions and torch's."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from benchmarks.options import count
from benchmarks.turns import in_turn
from src import cli, paths
from src.config import Params, load_params

if TYPE_CHECKING:
    from src.training.device import Compute
    from src.training.job import TrainingJob

EXAMPLES = """\
  python -m benchmarks.convolutions
  python -m benchmarks.convolutions --experiment ModelC --repeats 9 --json
  OMP_NUM_THREADS=1 python -m benchmarks.convolutions --experiment ModelA"""
STEPS = 6  # in a repeat


@dataclass(frozen=True)
class StepTiming:
    """Processor milliseconds of a training step: minima; and the median ratio with its range."""

    experiment: str
    batch_size: int
    device: str
    ours: float
    torchs: float
    ratio: float
    ratio_low: float
    ratio_high: float

    def __str__(self) -> str:
        return (
            f"{self.experiment}, batches of {self.batch_size}: torch's {self.torchs:.0f} ms, ours "
            f"{self.ours:.0f} ms, ratio {self.ratio:.2f} "
            f"({self.ratio_low:.2f} to {self.ratio_high:.2f})"
        )


def main(argv: Sequence[str] | None = None) -> None:
    """Time steps of experiments that train a network, on random images, in turn both ways.

    On the processor, whatever engine.device is: its convolutions are the ones that differ.
    """
    parser = cli.parser("benchmarks.convolutions", str(main.__doc__), EXAMPLES)
    parser.add_argument("--experiment", nargs="+", default=["ModelA", "ModelB", "ModelC"])
    parser.add_argument("--repeats", type=count, default=5, help="of both ways (%(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(argv)
    params = load_params()

    from benchmarks.engine import warm_up
    from src.training.device import resolve

    compute = resolve("cpu", params.engine.precision)
    warm_up(compute)
    timings = []
    for name in options.experiment:
        timings.append(measure(name, params, compute, options.repeats))
        if not options.json:
            print(timings[-1], flush=True)
    if options.json:
        print(json.dumps([asdict(timing) for timing in timings], indent=2))


def measure(name: str, params: Params, compute: Compute, repeats: int) -> StepTiming:
    """The timing of one experiment of params.yaml, from its first block that trains."""
    from src.models.convolutions import torchs_convolutions
    from src.training.job import StartingPoint, TrainingJob

    start = StartingPoint.load(paths.FACES, paths.SOURCE)
    job = TrainingJob.of(name, params, start, paths.SCRATCH, compute=compute)
    step = training_step(job)

    def by_torch() -> float:
        with torchs_convolutions():
            return timed(step)

    _, *pairs = in_turn(lambda: timed(step), by_torch, repeats + 1)  # first, kernels are built
    ratios = [torchs / ours for ours, torchs in pairs]
    return StepTiming(
        experiment=name,
        batch_size=job.experiment.batch_size,
        device=job.compute.name,
        ours=min(ours for ours, _ in pairs),
        torchs=min(torchs for _, torchs in pairs),
        ratio=statistics.median(ratios),
        ratio_low=min(ratios),
        ratio_high=max(ratios),
    )


def training_step(job: TrainingJob) -> Callable[[], None]:
    """A function that takes one step on the same random images each time."""
    import torch
    from torch.nn import functional as F

    from src.models.network import normalize
    from src.models.trainable import frozen_prefix, trained_blocks, training_mode, unfreeze
    from src.training.optimizers import build_optimizer

    network, recipe, spec = job.network(), job.recipe, job.spec()
    trained = trained_blocks(network, job.experiment.train, recipe)
    unfreeze(network, trained, recipe.batchnorm)
    training_mode(network, trained, recipe.batchnorm)
    optimizer = build_optimizer(network, recipe)
    start = frozen_prefix(network, trained, recipe.batchnorm)
    size, side, classes = job.experiment.batch_size, spec.image_size, len(spec.subjects)
    images = torch.randint(256, (size, 3, side, side), dtype=torch.uint8)
    labels = torch.arange(size) % classes
    with torch.no_grad(), job.compute.autocast():
        inputs = network.run(normalize(images, spec), 0, start)

    def step() -> None:
        with job.compute.autocast():
            logits = network(inputs, start)
        F.cross_entropy(logits.float(), labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step


def timed(step: Callable[[], None]) -> float:
    """Processor milliseconds of a step."""
    started = time.process_time()
    for _ in range(STEPS):
        step()
    return (time.process_time() - started) * 1e3 / STEPS


if __name__ == "__main__":
    cli.run(main)
