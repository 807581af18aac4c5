"""`python -m src.benchmark.accuracy`: whether this engine is as accurate, over many seeds."""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from src import cli
from src.benchmark.options import add_inputs, count, two_or_more, with_changes
from src.config import Params, load_params
from src.errors import ConfigError

EXAMPLES = """\
  python -m src.benchmark.accuracy --experiment Baseline ModelD-256-128
  python -m src.benchmark.accuracy --experiment ModelA --seeds 5 --epochs 15 --json"""


@dataclass(frozen=True)
class Agreement:
    """Test accuracies of one experiment by both ways, a pair for every seed."""

    experiment: str
    epochs: int
    accuracies: tuple[float, ...]
    plain_accuracies: tuple[float, ...]

    def __str__(self) -> str:
        engine, plain = (
            f"{statistics.mean(values):.1%} ± {statistics.stdev(values):.1%}"
            for values in (self.accuracies, self.plain_accuracies)
        )
        difference = points(self.accuracies, self.plain_accuracies)
        return f"{self.experiment:<28}{engine:>16}{plain:>16}{difference:>16}"


HEADER = f"{'experiment':<28}{'engine':>16}{'plain':>16}{'difference':>16}"


def points(engine: Sequence[float], plain: Sequence[float]) -> str:
    """Engine less plain in points: the mean over seeds and, of several, its standard error."""
    differences = [100 * (a - b) for a, b in zip(engine, plain, strict=True)]
    mean = f"{statistics.mean(differences):+.2f}"
    if len(differences) == 1:
        return mean
    return f"{mean} ± {statistics.stdev(differences) / len(differences) ** 0.5:.2f}"


def main(argv: Sequence[str] | None = None) -> None:
    """Train by this engine and by the plain loop from many seeds, and compare accuracies.

    The plain loop runs over the outputs of the network's frozen prefix, kept in float32: the same
    training in less time, which is not measured here. Accuracy is on the test split and is shown
    with its deviation over seeds; the difference, in points, with its standard error.
    """
    parser = cli.parser("src.benchmark.accuracy", str(main.__doc__), EXAMPLES)
    parser.add_argument("--experiment", nargs="+", required=True, help="names in params.yaml")
    parser.add_argument("--seeds", type=two_or_more, default=10, help="from the seed there on")
    parser.add_argument("--epochs", type=count, help="instead of each one's own")
    add_inputs(parser)
    options = parser.parse_args(argv)
    params = load_params()
    for name in options.experiment:
        params = with_changes(params, name, options.epochs)
    if not options.json:
        print(HEADER)
    for name in options.experiment:
        result = compare(name, params, options.seeds, options.faces, options.source)
        print(json.dumps(asdict(result)) if options.json else result, flush=True)


def compare(name: str, params: Params, seeds: int, faces: Path, source: Path) -> Agreement:
    """One experiment from `seeds` seeds; raises ConfigError where none of it is frozen."""
    from src.benchmark.engine import run_engine
    from src.benchmark.plain import (
        PlainLoop,
        finish_plainly,
        frozen_outputs,
        refuse_what_is_not_plain,
        write_folders,
    )
    from src.data.faceset import Split
    from src.training.fit import Fit, Inventory

    inventory = Inventory.load(faces, source)
    accuracies, plain_accuracies = [], []
    with tempfile.TemporaryDirectory() as folder:
        work = Fit.of(name, params, inventory, Path(folder))
        refuse_what_is_not_plain(work)
        if not PlainLoop(work).frozen:
            raise ConfigError(
                f"params.yaml: experiments.{name}",
                "nothing of it is frozen, so the plain loop has no shortcut",
                f"run `python -m src.benchmark --experiment {name} --repeats {seeds}`",
            )
        pictures = Path(folder) / "faces"
        write_folders(inventory.faces, pictures)
        kept = frozen_outputs(work, pictures, *Split)
        for seed in range(params.seed, params.seed + seeds):
            own = params.model_copy(update={"seed": seed})
            work = Fit.of(name, own, inventory, Path(folder))
            accuracies.append(run_engine(work).accuracy(inventory.faces))
            plain_accuracies.append(finish_plainly(work, kept))
    epochs = params.experiments[name].epochs
    return Agreement(name, epochs, tuple(accuracies), tuple(plain_accuracies))


if __name__ == "__main__":
    cli.run(main)
