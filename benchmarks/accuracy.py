"""`python -m benchmarks.accuracy`: is the engine as accurate as the plain loop?"""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.options import add_inputs, count, two_or_more, with_changes
from src import cli
from src.config import Params, load_params
from src.errors import ConfigError

if TYPE_CHECKING:
    from src.training.job import StartingPoint

EXAMPLES = """\
  python -m benchmarks.accuracy --experiment Baseline ModelD-256-128
  python -m benchmarks.accuracy --experiment Baseline --seeds 20 --resplit
  python -m benchmarks.accuracy --experiment ModelA --seeds 5 --epochs 15 --json"""
MARGIN = 1.0  # points that the engine may lose; chosen before anything was measured against it


@dataclass(frozen=True)
class NonInferiorityTest:
    """Test accuracies of one experiment in two ways, a candidate's and a reference's, by seed.

    low, high: 95% interval over seeds of the candidate's accuracy less the reference's, in points.
    within: whether the whole interval lies above -`margin`, the most that may be lost.
    """

    experiment: str
    epochs: int
    accuracies: tuple[float, ...]
    reference_accuracies: tuple[float, ...]
    low: float
    high: float
    margin: float
    within: bool

    @classmethod
    def of(
        cls,
        *,
        experiment: str,
        epochs: int,
        accuracies: Sequence[float],
        reference_accuracies: Sequence[float],
        margin: float,
    ) -> NonInferiorityTest:
        """Test the paired differences, by Student's interval of their mean."""
        from scipy.stats import t

        pairs = zip(accuracies, reference_accuracies, strict=True)
        differences = [100 * (candidate - reference) for candidate, reference in pairs]
        mean, seeds = statistics.mean(differences), len(differences)
        half = t.ppf(0.975, seeds - 1) * statistics.stdev(differences) / seeds**0.5
        low, high = float(mean - half), float(mean + half)
        return cls(
            experiment=experiment,
            epochs=epochs,
            accuracies=tuple(accuracies),
            reference_accuracies=tuple(reference_accuracies),
            low=low,
            high=high,
            margin=margin,
            within=low >= -margin,
        )

    def __str__(self) -> str:
        engine, plain = (
            f"{statistics.mean(values):.1%} ± {statistics.stdev(values):.1%}"
            for values in (self.accuracies, self.reference_accuracies)
        )
        difference = points(self.accuracies, self.reference_accuracies)
        interval = f"{self.low:+.2f} to {self.high:+.2f}"
        verdict = "no worse" if self.within else "not shown"
        return (
            f"{self.experiment:<26}{len(self.accuracies):>6}{engine:>16}{plain:>16}"
            f"{difference:>16}{interval:>18}{verdict:>11}"
        )


HEADER = (
    f"{'experiment':<26}{'seeds':>6}{'engine':>16}{'plain':>16}{'difference':>16}"
    f"{'95% interval':>18}{'verdict':>11}"
)


def points(candidate: Sequence[float], reference: Sequence[float]) -> str:
    """Mean of candidate less reference in points; of several seeds, with its standard error."""
    differences = [100 * (a - b) for a, b in zip(candidate, reference, strict=True)]
    mean = f"{statistics.mean(differences):+.2f}"
    if len(differences) == 1:
        return mean
    return f"{mean} ± {statistics.stdev(differences) / len(differences) ** 0.5:.2f}"


def main(argv: Sequence[str] | None = None) -> None:
    """Train by the engine and by a plain PyTorch loop from many seeds, and compare accuracies.

    The plain loop runs on stored float32 outputs of the network's frozen prefix: the same
    training in less time, which is not measured here. Accuracies are on the test split, with
    their standard deviation over seeds. The difference, in points, has its standard error and
    95% interval; the verdict is "no worse" only where the whole interval lies above -MARGIN.

    All seeds have the test images in common, and a head the features of all images: what these
    happen to do to one of the two, no number of seeds averages out. --resplit does.
    """
    parser = cli.parser("benchmarks.accuracy", str(main.__doc__), EXAMPLES)
    parser.add_argument(
        "--experiment", nargs="+", required=True, help="names under `experiments` in params.yaml"
    )
    parser.add_argument(
        "--seeds",
        type=two_or_more,
        default=10,
        help="how many, counted from the seed of params.yaml (%(default)s)",
    )
    parser.add_argument("--epochs", type=count, help="instead of each experiment's own")
    parser.add_argument(
        "--margin", type=float, default=MARGIN, help="points that the engine may lose (%(default)s)"
    )
    parser.add_argument(
        "--resplit", action="store_true", help="divide each subject's images anew for every seed"
    )
    add_inputs(parser)
    options = parser.parse_args(argv)
    params = load_params()

    from src.training.job import StartingPoint

    starting_point = StartingPoint.load(options.faces, options.source)
    for name in options.experiment:
        params = with_changes(params, name, options.epochs)
    if not options.json:
        print(HEADER)
    for name in options.experiment:
        accuracies, reference_accuracies = paired_accuracies(
            name, params, options.seeds, starting_point, resplit=options.resplit
        )
        epochs = params.experiments[name].epochs
        result = NonInferiorityTest.of(
            experiment=name,
            epochs=epochs,
            accuracies=accuracies,
            reference_accuracies=reference_accuracies,
            margin=options.margin,
        )
        print(json.dumps(asdict(result)) if options.json else result, flush=True)


def paired_accuracies(
    name: str,
    params: Params,
    seeds: int,
    starting_point: StartingPoint,
    *,
    resplit: bool = False,
) -> tuple[list[float], list[float]]:
    """The engine's and the plain loop's test accuracies of one experiment, seed by seed.

    resplit: whether every seed also divides the images anew. Raises ConfigError where the
    experiment freezes nothing.
    """
    from benchmarks.engine import run_engine
    from benchmarks.plain import (
        PlainLoop,
        check_comparable,
        prefix_outputs,
        train_on_outputs,
        write_folders,
    )
    from src.data.faceset import Split
    from src.training.job import TrainingJob

    accuracies, reference_accuracies = [], []
    with tempfile.TemporaryDirectory() as folder:
        job = TrainingJob.of(name, params, starting_point, Path(folder))
        check_comparable(job)
        if not PlainLoop(job).frozen:
            raise ConfigError(
                f"params.yaml: experiments.{name}",
                "it freezes nothing, so the plain loop has no shortcut",
                f"run `python -m benchmarks.speed --experiment {name} --repeats {seeds}`",
            )
        for number, seed in enumerate(range(params.seed, params.seed + seeds)):
            start = divided_anew(starting_point, seed) if resplit else starting_point
            own = params.model_copy(update={"seed": seed})
            job = TrainingJob.of(name, own, start, Path(folder))
            if number == 0 or resplit:
                images_folder = Path(folder) / f"faces-{number}"
                write_folders(start.faces, images_folder)
                outputs = prefix_outputs(job, images_folder, *Split)
            accuracies.append(run_engine(job).accuracy(start.faces))
            reference_accuracies.append(train_on_outputs(job, outputs))
    return accuracies, reference_accuracies


def divided_anew(starting_point: StartingPoint, seed: int) -> StartingPoint:
    """The same images, as many of each subject in every split, but others."""
    import torch

    draw = torch.Generator().manual_seed(seed)
    faces = starting_point.faces
    split = faces.split.clone()
    for subject in range(len(faces.subjects)):
        rows = torch.nonzero(faces.labels == subject)[:, 0]
        split[rows] = faces.split[rows[torch.randperm(len(rows), generator=draw)]]
    # A name of its own for what is cached.
    digest = f"{starting_point.faces_digest} divided by {seed}"
    return replace(starting_point, faces=replace(faces, split=split), faces_digest=digest)


if __name__ == "__main__":
    cli.run(main)
