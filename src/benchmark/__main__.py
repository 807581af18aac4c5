"""`python -m src.benchmark`: the same experiment by this engine and by a plain loop, in turn."""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from src import cli
from src.config import load_params

if TYPE_CHECKING:
    from src.training.fit import Fit


@dataclass(frozen=True)
class Comparison:
    """Medians over the repeats; `projected` says how many of the plain loop's epochs were run.

    startup_seconds: from the start of the process to the engine's, imports and files above all.
    """

    experiment: str
    recipe: str
    device: str
    epochs: int
    seconds_per_epoch: float
    plain_seconds_per_epoch: float
    ratio: float
    ratio_low: float
    ratio_high: float
    images_per_second: float
    accuracy: float
    plain_accuracy: float | None
    projected: int | None
    peak_memory_mb: float
    floor_seconds_per_epoch: float
    matrix_gflops: float
    startup_seconds: float


def main(argv: Sequence[str] | None = None) -> None:
    """Time both, compare, print."""
    parser = cli.parser(
        "src.benchmark",
        "Train one experiment by this engine and by a plain PyTorch loop, and compare. Both see\n"
        "the same images, recipe and epochs. Accuracy is on the test split; it chooses nothing.",
        "  python -m src.benchmark --experiment ModelA\n"
        "  python -m src.benchmark --experiment Baseline --epochs 100 --plain-epochs 2\n"
        "  python -m src.benchmark --experiment ModelC --repeats 3 --json",
    )
    parser.add_argument("--experiment", required=True, help="a name under `experiments`")
    parser.add_argument("--epochs", type=int, help="instead of the experiment's own")
    parser.add_argument("--recipe", help="instead of the common one")
    parser.add_argument("--repeats", type=int, default=1, help="of each, alternating")
    parser.add_argument(
        "--plain-epochs", type=int, help="run only these of the plain loop and project the rest"
    )
    parser.add_argument("--faces", type=Path, default=Path("data/faces.safetensors"))
    parser.add_argument("--source", type=Path, default=Path("models/source.safetensors"))
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(argv)
    params = load_params()
    experiment = params.experiment(options.experiment)
    update = {"epochs": options.epochs or experiment.epochs, "recipe": options.recipe}
    experiment = experiment.model_copy(update={k: v for k, v in update.items() if v})
    experiments = params.experiments | {options.experiment: experiment}
    params = type(params).model_validate(params.model_copy(update={"experiments": experiments}))

    from src.training.device import resolve
    from src.training.fit import Fit, Inventory

    inventory = Inventory.load(options.faces, options.source)
    compute = resolve(params.engine.device, params.engine.precision)
    recipe = params.recipe_of(options.experiment)
    with tempfile.TemporaryDirectory() as folder:
        work = Fit(inventory, experiment, recipe, params, compute, Path(folder), options.experiment)
        result = compare(work, Path(folder), options.repeats, options.plain_epochs)
    print(json.dumps(asdict(result)) if options.json else as_text(result))


def compare(work: Fit, folder: Path, repeats: int, plain_epochs: int | None) -> Comparison:
    """Run both in turn, `repeats` times; a cold cache for the engine every time."""
    from src.benchmark.floor import epoch_flops, matrix_rate
    from src.benchmark.memory import peak_memory
    from src.benchmark.plain import train_plainly, write_folders

    epochs = work.experiment.epochs
    run = min(plain_epochs or epochs, epochs)
    startup = time.time() - psutil.Process().create_time()
    rate = matrix_rate(work.compute)
    write_folders(work.inventory.faces, folder / "faces")
    fast, plain, accuracies, plain_accuracies = [], [], [], []
    peak = 0.0
    for repeat in range(repeats):
        seconds, accuracy = run_engine(replace(work, scratch=folder / str(repeat)))
        peak = peak or peak_memory(work.compute)
        fast.append(seconds / epochs)
        accuracies.append(accuracy)
        result = train_plainly(work, folder / "faces", run)
        plain.append(statistics.mean(result.epoch_seconds))
        plain_accuracies.append(result.accuracy)
        print(f"{repeat + 1}: {fast[-1]:.3f} s, plain {plain[-1]:.3f} s", file=sys.stderr)
    ratios = sorted(b / a for a, b in zip(fast, plain, strict=True))
    seconds_per_epoch = statistics.median(fast)
    whole = run == epochs
    return Comparison(
        experiment=work.name,
        recipe=work.experiment.recipe or work.params.recipe,
        device=work.compute.name,
        epochs=epochs,
        seconds_per_epoch=seconds_per_epoch,
        plain_seconds_per_epoch=statistics.median(plain),
        ratio=statistics.median(ratios),
        ratio_low=ratios[0],
        ratio_high=ratios[-1],
        images_per_second=_training_images(work) / seconds_per_epoch,
        accuracy=statistics.median(accuracies),
        plain_accuracy=statistics.median(plain_accuracies) if whole else None,
        projected=None if whole else run,
        peak_memory_mb=peak,
        floor_seconds_per_epoch=epoch_flops(work) / rate,
        matrix_gflops=rate / 1e9,
        startup_seconds=startup,
    )


def run_engine(work: Fit) -> tuple[float, float]:
    """Wall seconds of the whole run, caching included, and test accuracy of its result."""
    import torch

    from src.data.faceset import Split
    from src.models.classifier import Classifier
    from src.models.network import Network
    from src.training.fit import fit

    started = time.perf_counter()
    fitted = fit(work, lambda _epoch: None)
    if work.compute.device.type == "cuda":
        torch.cuda.synchronize()
    seconds = time.perf_counter() - started
    network = Network(fitted.spec)
    network.load_state_dict(fitted.state)
    images, labels = work.inventory.faces.part(Split.test)
    predicted = Classifier(network.eval(), fitted.spec).logits(images).argmax(1)
    return seconds, (predicted == labels).float().mean().item()


def _training_images(work: Fit) -> int:
    from src.data.faceset import Split

    return len(work.inventory.faces.rows(Split.train))


def as_text(result: Comparison) -> str:
    """The comparison in a few lines."""
    plain = (
        f"{result.plain_accuracy:.1%}"
        if result.plain_accuracy is not None
        else f"not run to the end: projected from {result.projected} epochs"
    )
    return (
        f"{result.experiment} ({result.recipe}), {result.epochs} epochs on {result.device}\n"
        f"  this engine  {result.seconds_per_epoch:9.3f} s/epoch, caching included"
        f"  ({result.images_per_second:,.0f} images/s)\n"
        f"  plain loop   {result.plain_seconds_per_epoch:9.3f} s/epoch\n"
        f"  ratio        {result.ratio:9.1f}x"
        f"  ({result.ratio_low:.1f} to {result.ratio_high:.1f})\n"
        f"  accuracy     {result.accuracy:9.1%}  (plain: {plain})\n"
        f"  peak memory  {result.peak_memory_mb:9,.0f} MiB\n"
        f"  floor        {result.floor_seconds_per_epoch:9.3f} s/epoch"
        f"  at {result.matrix_gflops:,.0f} GFLOP/s measured\n"
        f"  start-up     {result.startup_seconds:9.1f} s"
    )


if __name__ == "__main__":
    cli.run(main)
