"""`python -m benchmarks.compiler`: would torch.compile pay, and does the layout channels-last?"""

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
from benchmarks.turns import in_turn
from src import cli
from src.config import load_params

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from src.training.job import TrainingJob

EXAMPLES = """\
  python -m benchmarks.compiler --experiment ModelC
  python -m benchmarks.compiler --experiment ModelA --steps 50 --json
  python -m benchmarks.compiler --experiment ModelC --mode reduce-overhead
  python -m benchmarks.compiler --experiment ModelC --layouts"""


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


@dataclass(frozen=True)
class LayoutTiming:
    """Eager training steps in both layouts; times are medians over alternating steps."""

    experiment: str
    device: str
    contiguous_step_seconds: float
    channels_last_step_seconds: float
    ratio: float

    def __str__(self) -> str:
        return (
            f"{self.experiment} on {self.device}\n"
            f"  contiguous     {1000 * self.contiguous_step_seconds:9.1f} ms\n"
            f"  channels last  {1000 * self.channels_last_step_seconds:9.1f} ms"
            f"  ({self.ratio:.2f}x)"
        )


def main(argv: Sequence[str] | None = None) -> None:
    """Time training steps of one experiment, eager (as the engine runs them) and compiled.

    Both train the experiment's blocks, from the end of its frozen prefix, in the engine's
    precision and layout, on one batch. For CUDA graphs use `--mode reduce-overhead`. With
    --layouts, time eager steps in the contiguous layout and in the engine's instead.
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
    parser.add_argument(
        "--layouts", action="store_true", help="compare layouts instead; nothing is compiled"
    )
    add_inputs(parser)
    options = parser.parse_args(argv)
    params = load_params()

    from benchmarks.engine import warm_up
    from src.training.job import StartingPoint, TrainingJob

    starting_point = StartingPoint.load(options.faces, options.source)
    with tempfile.TemporaryDirectory() as folder:
        job = TrainingJob.of(options.experiment, params, starting_point, Path(folder))
        warm_up(job.compute)
        result: CompileTiming | LayoutTiming = (
            time_layouts(job, options.steps)
            if options.layouts
            else time_steps(job, options.steps, options.mode, options.backend)
        )
    print(json.dumps(asdict(result)) if options.json else result)


def time_steps(job: TrainingJob, steps: int, mode: str, backend: str) -> CompileTiming:
    """Time one eager and one compiled step in turn; torch.compile's caches are off."""
    import torch
    from torch.compiler import config

    from src.data.faceset import Split

    eager = _training_step(job)
    compiled = _training_step(
        job, lambda function: torch.compile(function, mode=mode, backend=backend)
    )
    with config.patch(force_disable_caches=True):  # type: ignore[attr-defined]
        (_, reference), (first, logits) = eager(), compiled()
    difference = ((logits - reference).abs().max() / reference.abs().max()).item()
    slow, fast = _medians(eager, compiled, steps)
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


def time_layouts(job: TrainingJob, steps: int) -> LayoutTiming:
    """Time one step in each layout in turn, after one of each that does not count.

    By torch's convolutions, as the engine's give channels-last outputs in any case.
    """
    import torch

    from src.models.convolutions import torchs_convolutions

    contiguous, channels_last = (
        _training_step(job, layout=layout)
        for layout in (torch.contiguous_format, torch.channels_last)
    )
    with torchs_convolutions():
        _medians(contiguous, channels_last, 1)
        slow, fast = _medians(contiguous, channels_last, steps)
    return LayoutTiming(job.name, job.compute.name, slow, fast, slow / fast)


Forward = Callable[["Tensor"], "Tensor"]
Step = Callable[[], tuple[float, "Tensor"]]


def _medians(one: Step, other: Step, steps: int) -> tuple[float, float]:
    """Median seconds of each, one step of each in turn."""
    pairs = in_turn(lambda: one()[0], lambda: other()[0], steps)
    first, second = (statistics.median(column) for column in zip(*pairs, strict=True))
    return first, second


def _training_step(
    job: TrainingJob,
    prepare: Callable[[Forward], Forward] = lambda forward: forward,
    layout: torch.memory_format | None = None,
) -> Step:
    """A function that runs one training step and returns its seconds and the logits before it.

    layout: the engine's, channels last, by default.
    """
    import torch
    from torch.nn import functional as F

    from src.data.faceset import Split
    from src.models.trainable import frozen_prefix, trained_blocks, training_mode, unfreeze
    from src.training.inputs import ImageInputs
    from src.training.optimizers import build_optimizer

    layout = layout or torch.channels_last
    network, compute, recipe = job.network().to(memory_format=layout), job.compute, job.recipe
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
        inputs = network.eval().run(batch.contiguous(memory_format=layout), 0, start)
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
        if compute.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - started, logits.detach().clone()

    return step


if __name__ == "__main__":
    cli.run(main)
