"""`python -m benchmarks.tuning`: what waves and pruning save, and what they cost in accuracy."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.accuracy import points
from benchmarks.options import two_or_more
from src import cli
from src.config import Params, load_params
from src.tune.options import add_options, with_options

if TYPE_CHECKING:
    from optuna import Study
    from torch import nn

    from benchmarks.plain import PlainRun
    from src.tune.objective import Objective
    from src.tune.space import TrialParams

EXAMPLES = """\
  python -m benchmarks.tuning speed --trials 50
  python -m benchmarks.tuning speed --trials 50 --plain-epochs 5 --json
  python -m benchmarks.tuning quality --seeds 10 --epochs 30 --width 64:256"""


def main(argv: Sequence[str] | None = None) -> None:
    """Measure the search of src.tune on the features that the pipeline computed.

    speed: one study, against a plain PyTorch loop that trains the same configurations on the
    same features to the end, one after the other. quality: best validation accuracy of studies
    with waves, against studies with one trial at a time, over several seeds.
    """
    parser = cli.parser("benchmarks.tuning", str(main.__doc__), EXAMPLES)
    parser.add_argument("what", choices=["speed", "quality"], help="see above")
    parser.add_argument(
        "--seeds",
        type=two_or_more,
        default=10,
        help="of the studies with and without waves (quality; %(default)s)",
    )
    parser.add_argument(
        "--plain-epochs",
        type=two_or_more,
        help="time only so many epochs of each plain run and project the rest (speed)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_options(parser)
    options = parser.parse_args(argv)
    if options.storage or options.study:
        parser.error("leave out --storage and --study: every study here is in a temporary file")
    params = with_options(load_params(), options)
    if options.what == "quality" and params.tune.wave == 1:
        parser.error("quality compares with waves of one: give a larger --wave")
    if options.what == "speed":
        result: SearchSpeed | SearchQuality = measure_speed(
            params, min(options.plain_epochs or params.tune.epochs, params.tune.epochs)
        )
    else:
        result = measure_quality(params, options.seeds)
    print(json.dumps(asdict(result)) if options.json else result)


@dataclass(frozen=True)
class SearchSpeed:
    """Wall-clock and CPU seconds; accuracies are the best on validation.

    plain_pruned_seconds: of the plain loop if it ended each configuration after as many epochs as
    the search did. plain_accuracy: None where the plain loop was not run to the end.
    """

    device: str
    trials: int
    epochs: int
    trained_epochs: int
    seconds: float
    plain_seconds: float
    cpu_seconds: float
    plain_cpu_seconds: float
    plain_pruned_seconds: float
    plain_epochs: int
    accuracy: float
    plain_accuracy: float | None

    def __str__(self) -> str:
        projected = self.plain_epochs < self.epochs
        note = f" (projected from {self.plain_epochs} epochs of each)" if projected else ""
        plain = "not known" if self.plain_accuracy is None else f"{self.plain_accuracy:.1%}"
        return (
            f"{self.device}: {self.trials} trials of up to {self.epochs} epochs\n"
            f"search      {self.seconds:8.1f} s  {self.cpu_seconds:8.1f} s CPU  "
            f"best {self.accuracy:.1%}, {self.trained_epochs} epochs trained\n"
            f"plain loop  {self.plain_seconds:8.1f} s  {self.plain_cpu_seconds:8.1f} s CPU  "
            f"best {plain}{note}\n"
            f"ratio       {self.plain_seconds / self.seconds:8.1f}x "
            f"{self.plain_cpu_seconds / self.cpu_seconds:8.1f}x\n"
            f"pruned      {self.plain_pruned_seconds:8.1f} s for the plain loop, ratio "
            f"{self.plain_pruned_seconds / self.seconds:.1f}x"
        )


@dataclass(frozen=True)
class SearchQuality:
    """Best validation accuracy of each seed's study."""

    trials: int
    wave: int
    waves: tuple[float, ...]
    one_at_a_time: tuple[float, ...]

    def __str__(self) -> str:
        return (
            f"{len(self.waves)} studies of {self.trials} trials on either side\n"
            f"waves of {self.wave:<3}   {statistics.mean(self.waves):.2%}\n"
            f"one at a time  {statistics.mean(self.one_at_a_time):.2%}\n"
            f"difference     {points(self.waves, self.one_at_a_time)} points"
        )


def measure_speed(params: Params, plain_epochs: int) -> SearchSpeed:
    """Run a study, then train its configurations by the plain loop."""
    from benchmarks.engine import warm_up
    from src.tune.objective import Objective
    from src.tune.search import history_of
    from src.tune.space import TrialParams
    from src.tune.study import finished_trials

    objective = Objective.load(params)
    warm_up(objective.compute)
    clock, cpu = time.perf_counter(), time.process_time()
    with _study(params, objective) as study:
        seconds, cpu_seconds = time.perf_counter() - clock, time.process_time() - cpu
        trials, accuracy = finished_trials(study), _best(study)
    candidates = [TrialParams.of(trial.params, params.tune.space) for trial in trials]
    clock, cpu = time.perf_counter(), time.process_time()
    runs = [train_plain_head(candidate, objective, plain_epochs) for candidate in candidates]
    busy = (time.process_time() - cpu) / (time.perf_counter() - clock)
    plain_seconds = sum(run.seconds(params.tune.epochs) for run in runs)
    trained = [len(history_of(trial)) for trial in trials]
    return SearchSpeed(
        device=objective.compute.name,
        trials=len(trials),
        epochs=params.tune.epochs,
        trained_epochs=sum(trained),
        seconds=seconds,
        plain_seconds=plain_seconds,
        cpu_seconds=cpu_seconds,
        plain_cpu_seconds=busy * plain_seconds,
        plain_pruned_seconds=sum(run.seconds(n) for run, n in zip(runs, trained, strict=True)),
        plain_epochs=plain_epochs,
        accuracy=accuracy,
        plain_accuracy=max((run.accuracy for run in runs if run.accuracy), default=None),
    )


def measure_quality(params: Params, seeds: int) -> SearchQuality:
    """Run studies that differ only in the seed and in the size of a wave."""
    from src.tune.objective import Objective

    found: dict[int, list[float]] = {params.tune.wave: [], 1: []}
    for seed in range(seeds):
        for wave, best in found.items():
            tune = params.tune.model_copy(update={"wave": wave})
            own = params.model_copy(update={"seed": params.seed + seed, "tune": tune})
            with _study(own, Objective.load(own)) as study:
                best.append(_best(study))
    return SearchQuality(params.tune.trials, params.tune.wave, *map(tuple, found.values()))


@contextmanager
def _study(params: Params, objective: Objective) -> Iterator[Study]:
    """A finished study, in a storage that is deleted at the end of the block."""
    from src.tune.heartbeat import Heartbeats
    from src.tune.search import Search
    from src.tune.storage import StaleTrials, open_storage, parse_url, silence_optuna
    from src.tune.study import open_study

    silence_optuna()
    with tempfile.TemporaryDirectory() as folder:
        url = parse_url(f"sqlite:///{Path(folder) / 'optuna.db'}")
        study = open_study(open_storage(url, 1), params, objective.definition)
        with Heartbeats(study, None) as heartbeats:
            Search(study, objective, StaleTrials(study, url, 1), heartbeats).run()
        yield study


def _best(study: Study) -> float:
    from src.tune.best import best_trial

    return float(best_trial(study).value or 0.0)


def train_plain_head(candidate: TrialParams, objective: Objective, epochs: int) -> PlainRun:
    """Train one head on cached features for the first epochs, as in PyTorch's tutorials.

    Its accuracy is the best on validation images; the time to build it is the first epoch's.
    """
    import torch
    from torch import nn

    from benchmarks.plain import PlainRun
    from benchmarks.torch_defaults import as_torch_is
    from src.models.imports import without_dynamo

    seconds, started = [], time.perf_counter()
    features, recipe = objective.features, objective.task(candidate).recipe
    views, images, width = features.values.shape
    table, labels = features.values.flatten(0, 1), features.labels.repeat(views)
    best = 0.0
    with without_dynamo(), as_torch_is(), torch.random.fork_rng():
        torch.manual_seed(objective.params.seed)
        model = _plain_head(candidate, width, objective.classes).to(labels.device)
        optimizer = torch.optim.AdamW(
            model.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
        )
        steps = -(-images // candidate.batch_size) * objective.params.tune.epochs
        scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.learning_rate, steps)
        criterion = nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
        for _ in range(epochs):
            model.train()
            rows = torch.randperm(images) + images * torch.randint(views, (images,))
            for batch in torch.split(rows.to(labels.device), candidate.batch_size):
                optimizer.zero_grad()
                loss = criterion(model(table[batch]), labels[batch])
                loss.backward()
                optimizer.step()
                scheduler.step()
            model.eval()
            with torch.no_grad():
                right = model(features.val_values).argmax(1) == features.val_labels
            best = max(best, right.float().mean().item())
            ended = time.perf_counter()
            seconds.append(ended - started)
            started = ended
    return PlainRun(tuple(seconds), best if epochs == objective.params.tune.epochs else None)


def _plain_head(candidate: TrialParams, width: int, classes: int) -> nn.Module:
    from torch import nn

    layers: list[nn.Module] = []
    for units, rate in zip(candidate.hidden, candidate.dropout, strict=True):
        layers += [nn.Linear(width, units), nn.Dropout(rate), nn.ReLU()]
        width = units
    return nn.Sequential(*layers, nn.Linear(width, classes))


if __name__ == "__main__":
    cli.run(main)
