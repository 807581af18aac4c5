"""`python -m benchmarks.heads`: heads trained in one call, against one call each."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.options import count
from benchmarks.turns import in_turn
from src import cli, paths
from src.config import Head, load_params, validate
from src.errors import ConfigError

if TYPE_CHECKING:
    from src.training.features import Features
    from src.training.head_task import HeadTask

EXAMPLES = """\
  python -m benchmarks.heads
  python -m benchmarks.heads --experiment ModelD-256-128 --hidden 64 32 --count 10 --epochs 30
  python -m benchmarks.heads --experiment ModelD-2048-1024 --repeats 5 --json"""


@dataclass(frozen=True)
class StackingTiming:
    """Medians over the repeats; the ratio is above 1 where one call for all is faster.

    heads, epochs: of each head the widths of its hidden layers, and how long it trains.
    """

    device: str
    heads: tuple[tuple[int, ...], ...]
    epochs: tuple[int, ...]
    seconds_together: float
    seconds_alone: float
    ratio: float
    ratio_low: float
    ratio_high: float

    def __str__(self) -> str:
        named = ", ".join(
            f"{'-'.join(map(str, hidden)) or 'linear'} for {epochs} epochs"
            for hidden, epochs in zip(self.heads, self.epochs, strict=True)
        )
        return (
            f"{len(self.heads)} heads on {self.device}: {named}\n"
            f"  together    {self.seconds_together:8.2f} s\n"
            f"  one by one  {self.seconds_alone:8.2f} s\n"
            f"  ratio       {self.ratio:8.2f}x  ({self.ratio_low:.2f} to {self.ratio_high:.2f})"
        )


def main(argv: Sequence[str] | None = None) -> None:
    """Train the MLP heads of params.yaml on cached features, in one call and one by one.

    The engine decides which of them it stacks, by measured limits (src/training/grouping.py);
    both ways give the same heads.
    """
    parser = cli.parser("benchmarks.heads", str(main.__doc__), EXAMPLES)
    parser.add_argument(
        "--experiment", nargs="+", help="instead of all that train only an MLP head"
    )
    parser.add_argument(
        "--hidden",
        nargs="+",
        type=count,
        help="widths of the hidden layers, without dropout, instead of the experiment's own head",
    )
    parser.add_argument(
        "--count", type=count, default=1, help="copies of each head, with a seed each (%(default)s)"
    )
    parser.add_argument("--epochs", type=count, help="instead of each experiment's own")
    parser.add_argument(
        "--repeats", type=count, default=3, help="of each way, alternating (%(default)s)"
    )
    parser.add_argument(
        "--features", type=Path, default=paths.FEATURES, help="frozen features (%(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(argv)
    if options.hidden and not options.experiment:
        parser.error("--hidden needs --experiment: it would make all the heads the same one")
    params = load_params()

    from benchmarks.engine import warm_up
    from src.training.device import resolve
    from src.training.features import Features
    from src.training.head_task import HeadTask

    names = options.experiment or [
        name
        for name, experiment in params.experiments.items()
        if set(experiment.train) == {"head"} and experiment.head.hidden
    ]
    for name in names:
        experiment = params.experiment(name)
        if set(experiment.train) != {"head"} or experiment.head.kind != "mlp":
            what = "it trains more than an MLP or linear head, or another"
            raise ConfigError(f"experiments.{name}", what, "choose another experiment")
    compute = resolve(params.engine.device, params.engine.precision)
    given = options.hidden and validate(Head, {"hidden": options.hidden}, "--hidden")
    tasks = [
        HeadTask(
            head=given or params.experiment(name).head,
            recipe=recipe.model_copy(update={"learning_rate": recipe.head_rate}),
            epochs=options.epochs or params.experiment(name).epochs,
            batch_size=params.experiment(name).batch_size,
            seed=seed,
            dtype=compute.dtype,
        )
        for name, recipe in zip(names, map(params.recipe_of, names), strict=True)
        for seed in range(options.count)
    ]
    if not tasks:
        raise ConfigError("experiments", "none has an MLP head", "name some with --experiment")
    features = Features.load(options.features).to(compute.device)
    warm_up(compute)
    result = time_heads(tasks, features, options.repeats, compute.name)
    print(json.dumps(asdict(result)) if options.json else result)


def time_heads(
    tasks: Sequence[HeadTask], features: Features, repeats: int, device: str
) -> StackingTiming:
    """Train both ways in turn, `repeats` times."""
    _seconds([[replace(task, epochs=1) for task in tasks]], features)  # allocates
    pairs = in_turn(
        partial(_seconds, [tasks], features),
        partial(_seconds, [[task] for task in tasks], features),
        repeats,
    )
    together, alone = map(statistics.median, zip(*pairs, strict=True))
    ratios = sorted(b / a for a, b in pairs)
    return StackingTiming(
        device=device,
        heads=tuple(task.head.hidden for task in tasks),
        epochs=tuple(task.epochs for task in tasks),
        seconds_together=together,
        seconds_alone=alone,
        ratio=statistics.median(ratios),
        ratio_low=ratios[0],
        ratio_high=ratios[-1],
    )


def _seconds(calls: Sequence[Sequence[HeadTask]], features: Features) -> float:
    from src.training.heads import train_heads

    started = time.perf_counter()
    for tasks in calls:
        train_heads(tasks, features, len(features.subjects))  # ends in copies to the host
    return time.perf_counter() - started


if __name__ == "__main__":
    cli.run(main)
