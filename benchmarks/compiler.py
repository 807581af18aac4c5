"""`python -m benchmarks.compiler`: would torch.compile pay?"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.options import add_inputs, count
from src import cli
from src.config import load_params

if TYPE_CHECKING:
    from torch import Tensor

    from src.training.job import TrainingJob

EXAMPLES = """\
  python -m benchmarks.compiler --experiment ModelC
  python -m benchmarks.compiler --experiment ModelA --steps 50 --json
  python -m benchmarks.compiler --experiment ModelC --mode reduce-overhead"""


@dataclass(frozen=True)
class CompileTiming:
    """Training steps with and without torch.compile; times are medians over alternating steps.

    compile_seconds: of the first compiled step, less an eager one. epochs_to_pay: after how many
    epochs that time is saved, or None where compiled steps are not faster. difference: the
    largest difference between the logits of both, from the same weights, over the largest logit.
    """

    experiment: str
    device: str
    mode: str
    compile_seconds: float
    eager_step_seconds: float
    compiled_step_seconds: float
    ratio: float
    epochs_to_pay: float | None
    difference: float

    def __str__(self) -> str:
        pays = "never" if self.epochs_to_pay is None else f"after {self.epochs_to_pay:.1f} epochs"
        return (
            f"{self.experiment} on {self.device}, mode {self.mode}\n"
            f"  eager step     {1000 * self.eager_step_seconds:9.1f} ms\n"
            f"  compiled step  {1000 * self.compiled_step_seconds:9.1f} ms"
            f"  ({self.ratio:.2f}x; logits differ by {self.difference:.1%} at most)\n"
            f"  compiling      {self.compile_seconds:9.1f} s, which pays {pays}"
        )


def main(argv: Sequence[str] | None = None) -> None:
    """Time training steps of one experiment, eager (as the engine runs them) and compiled.

    Both train the experiment's blocks, from the end of its frozen prefix, in the engine's
    precision and layout, on one batch. For CUDA graphs use `--mode reduce-overhead`.
    """
    parser = cli.parser("benchmarks.compiler", str(main.__doc__), EXAMPLES)
    parser.add_argument(
        "--experiment", required=True, help="a name under `experiments` in params.yaml"
    )
    parser.add_argument(
        "--steps", type=count, default=20, help="of each kind, alternating (%(default)s)"
    )
    parser.add_argument("--mode", default="default", help="of torch.compile (%(default)s)")
    parser.add_argument("--backend", default="inductor", help="of torch.compile (%(default)s)")
    add_inputs(parser)
    options = parser.parse_args(argv)
    params = load_params()

    from src.training.job import StartingPoint, TrainingJob

    starting_point = StartingPoint.load(options.faces, options.source)
    with tempfile.TemporaryDirectory() as folder:
        job = TrainingJob.of(options.experiment, params, starting_point, Path(folder))
        result = time_steps(job, options.steps, options.mode, options.backend)
    print(json.dumps(asdict(result)) if options.json else result)


def time_steps(job: TrainingJob, steps: int, mode: str, backend: str) -> CompileTiming:
    """Time one eager and one compiled step in turn; torch.compile's caches are off."""
    import torch
    from torch.compiler import config

    from src.data.faceset import Split

    eager = _training_step(job, lambda function: function)
    compiled = _training_step(
        job, lambda function: torch.compile(function, mode=mode, backend=backend)
    )
    with config.patch(force_disable_caches=True):  # type: ignore[attr-defined]
        (_, reference), (first, logits) = eager(), compiled()
    difference = ((logits - reference).abs().max() / reference.abs().max()).item()
    pairs = [(eager()[0], compiled()[0]) for _ in range(steps)]
    slow, fast = (statistics.median(column) for column in zip(*pairs, strict=True))
    images = len(job.starting_point.faces.rows(Split.train))
    gain = (slow - fast) * -(-images // job.experiment.batch_size)
    once = first - slow
    return CompileTiming(
        experiment=job.name,
        device=job.compute.name,
        mode=mode,
        compile_seconds=once,
        eager_step_seconds=slow,
        compiled_step_seconds=fast,
        ratio=slow / fast,
        epochs_to_pay=once / gain if gain > 0 else None,
        difference=difference,
    )


Forward = Callable[["Tensor"], "Tensor"]


def _training_step(
    job: TrainingJob, prepare: Callable[[Forward], Forward]
) -> Callable[[], tuple[float, Tensor]]:
    """A function that runs one training step and returns its seconds and the logits before it."""
    import torch
    from torch.nn import functional as F

    from src.data.faceset import Split
    from src.models.trainable import frozen_prefix, trained_blocks, training_mode, unfreeze
    from src.training.inputs import ImageInputs
    from src.training.optimizers import build_optimizer

    network, compute, recipe = job.network(), job.compute, job.recipe
    trained = trained_blocks(network, job.experiment.train, recipe)
    unfreeze(network, trained, recipe.batchnorm)
    start = frozen_prefix(network, trained, recipe.batchnorm)
    images, labels = (
        part[: job.experiment.batch_size].to(compute.device)
        for part in job.starting_point.faces.part(Split.train)
    )
    rows = torch.arange(len(images), device=compute.device)
    with torch.no_grad(), compute.autocast():
        batch = ImageInputs(images, job.spec()).batch(rows, torch.zeros_like(rows))
        inputs = network.eval().run(batch, 0, start)
    training_mode(network, trained, recipe.batchnorm)
    optimizer = build_optimizer(network, recipe)
    forward = prepare(lambda x: network(x, start))

    def step() -> tuple[float, Tensor]:
        started = time.perf_counter()
        with compute.autocast():
            logits = forward(inputs)
        logits = logits.float()
        loss = F.cross_entropy(logits, labels, label_smoothing=recipe.label_smoothing)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if compute.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - started, logits.detach().clone()

    return step


if __name__ == "__main__":
    cli.run(main)
