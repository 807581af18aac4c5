"""`python -m benchmarks.scaling`: what training costs as images, subjects or epochs grow."""

from __future__ import annotations

import json
import multiprocessing
import statistics
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.many import measure_packing
from benchmarks.options import add_inputs, count, shortened, with_changes
from src import cli
from src.config import Params, load_params
from src.errors import ConfigError

if TYPE_CHECKING:
    from src.data.faceset import FaceSet

VALIDATION = 10  # training images for each validation image
FEWEST = 3  # images of a subject that can be divided into splits
EXAMPLES = """\
  python -m benchmarks.scaling --experiment Baseline ModelA --images 500 2000 20000
  python -m benchmarks.scaling --experiment Baseline --images 2000 --subjects 20 100 1000
  python -m benchmarks.scaling --experiment ModelC --images 500 --measured-epochs 2 --json
  python -m benchmarks.scaling --packing --images 20000 200000 --subjects 1000"""


@dataclass(frozen=True)
class TrainingCost:
    """Time and memory of one training; `seconds` has those of the epochs not run, projected.

    once_seconds: before the first epoch and after the last, mostly the caching of a frozen prefix.
    epoch_seconds: mean of the `measured_epochs` that were run, without the first if there are more,
    which also warms up. peak_memory_mb: MiB, of a process of its own, with
    what it has read of the packed file; peak_own_mb without that, which is what it needs.
    """

    experiment: str
    images: int
    subjects: int
    epochs: int
    measured_epochs: int
    once_seconds: float
    epoch_seconds: float
    seconds: float
    peak_memory_mb: float
    peak_own_mb: float

    def __str__(self) -> str:
        projected = "" if self.measured_epochs == self.epochs else f"  from {self.measured_epochs}"
        return (
            f"{self.experiment:<28}{self.images:>8,}{self.subjects:>9,}{self.epochs:>8}"
            f"{self.once_seconds:>9.1f}{self.epoch_seconds:>9.3f}{self.seconds:>10.1f}"
            f"{self.peak_memory_mb:>10,.0f}{self.peak_own_mb:>10,.0f}{projected}"
        )


HEADER = (
    f"{'experiment':<28}{'images':>8}{'subjects':>9}{'epochs':>8}{'once s':>9}"
    f"{'s/epoch':>9}{'in all s':>10}{'peak MiB':>10}{'own MiB':>10}"
)


def main(argv: Sequence[str] | None = None) -> None:
    """Time the engine alone on the packed images, repeated to any number.

    Every combination of the options is trained in a process of its own. Subjects are assigned to
    images in turn, so accuracy means nothing here and is not shown. One validation image is
    added for every ten training images. With --packing, archives of the packed images, altered, are
    packed instead; `once s` is then the time of loading.
    """
    parser = cli.parser("benchmarks.scaling", str(main.__doc__), EXAMPLES)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--experiment", nargs="+", help="names under `experiments` in params.yaml")
    what.add_argument("--packing", action="store_true", help="pack an archive instead of training")
    parser.add_argument("--images", nargs="+", type=count, required=True, help="training images")
    parser.add_argument("--subjects", nargs="+", type=count, default=[100], help="how many (100)")
    parser.add_argument("--epochs", nargs="+", type=count, help="instead of each experiment's own")
    parser.add_argument(
        "--measured-epochs", type=count, help="run only so many epochs, and project the rest"
    )
    add_inputs(parser)
    options = parser.parse_args(argv)
    if options.packing and min(options.images) < FEWEST * max(options.subjects):
        parser.error(f"--packing needs {FEWEST} images or more of each subject")
    params = load_params()
    sizes = product(
        options.experiment or [], options.images, options.subjects, options.epochs or [None]
    )
    tasks = [
        {
            "name": name,
            "images": images,
            "subjects": subjects,
            "epochs": epochs or params.experiment(name).epochs,
            "limit": options.measured_epochs,
        }
        for name, images, subjects, epochs in sizes
    ]
    for task in tasks:  # before anything is trained, each in a process of its own
        _check(params, task["name"], task["epochs"], options.measured_epochs)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context, max_tasks_per_child=1) as pool:
        if not options.json:
            print(HEADER)
        for size in product(options.images, options.subjects) if options.packing else ():
            packing = pool.submit(measure_packing, options.faces, *size).result()
            print(json.dumps(asdict(packing)) if options.json else packing, flush=True)
        for task in tasks:
            cost = pool.submit(measure_cost, options.faces, options.source, **task).result()
            print(json.dumps(asdict(cost)) if options.json else cost, flush=True)


def _check(params: Params, name: str, epochs: int, limit: int | None) -> None:
    with_changes(params, name, epochs)
    recipe = params.recipe_of(name)
    if epochs > (limit or epochs) and (recipe.unfreeze_at or recipe.freeze_at):
        raise ConfigError(
            f"params.yaml: experiments.{name}",
            "its later epochs, with other blocks frozen, take other times than the first",
            "leave out --measured-epochs",
        )


def measure_cost(
    faces: Path,
    source: Path,
    *,
    name: str,
    images: int,
    subjects: int,
    epochs: int,
    limit: int | None,
) -> TrainingCost:
    """Train one experiment on that many images and subjects, for `limit` epochs or for all."""
    from benchmarks.engine import run_engine
    from benchmarks.memory import OwnMemory, peak_memory
    from src.training.job import StartingPoint, TrainingJob

    measured = min(limit or epochs, epochs)
    params = shortened(with_changes(load_params(), name, epochs), name, measured)
    starting_point = StartingPoint.load(faces, source)
    starting_point = replace(starting_point, faces=enlarge(starting_point.faces, images, subjects))
    with tempfile.TemporaryDirectory() as folder:
        job = TrainingJob.of(name, params, starting_point, Path(folder))
        with OwnMemory() as own:
            run = run_engine(job)
    epochs_seconds = [each.seconds for each in run.fitted.history]
    epoch = statistics.mean(epochs_seconds[1:] or epochs_seconds)
    return TrainingCost(
        experiment=name,
        images=images,
        subjects=subjects,
        epochs=epochs,
        measured_epochs=measured,
        once_seconds=run.seconds - sum(epochs_seconds),
        epoch_seconds=epoch,
        seconds=run.seconds + (epochs - measured) * epoch,
        peak_memory_mb=peak_memory(job.compute),
        peak_own_mb=own.peak,
    )


def enlarge(faces: FaceSet, images: int, subjects: int) -> FaceSet:
    """On disk, the training images repeated to `images` and a tenth more; subjects in turn."""
    import torch

    from src.data.faceset import FaceSet, Split
    from src.data.spool import SpooledImages

    given, _ = faces.part(Split.train)
    size = given.shape[-1]
    total = images + max(1, images // VALIDATION)
    rows = torch.arange(total)
    split = torch.where(rows < images, Split.train.value, Split.val.value).to(torch.uint8)
    names = tuple(f"{number:05d}" for number in range(subjects))
    few = SpooledImages.of(size, given.permute(0, 2, 3, 1).contiguous().numpy())
    repeated = few.chosen((rows % len(given)).tolist()).tensor()
    return FaceSet(repeated, rows % subjects, split, names)


if __name__ == "__main__":
    cli.run(main)
