"""`python -m benchmarks.startup`: what does a command cost before it does anything?"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.options import count
from src import cli, paths
from src.closure import ROOT
from src.config import PARAMS, read_yaml
from src.errors import ConfigError, StaleInputError
from src.files import write_json

EXAMPLES = """\
  python -m benchmarks.startup
  python -m benchmarks.startup --against ../older-checkout --repeats 5 --json"""
COMMANDS = (
    *("src.advise", "src.crossvalidate", "src.models.summary", "src.predict", "src.preset"),
    *("src.summary", "src.tracking", "src.tune", "src.verify", "pipelines.train"),
)
BATCH_SIZE = 16
LEFT_OUT = ("seeds", "unfreeze_at", "freeze_at", "warmup_epochs")  # one seed by default, else none


@dataclass(frozen=True)
class StartupTiming:
    """A command's processor seconds from start to exit: medians, here and in the other checkout.

    other_seconds: None where there is no other checkout, or the command is not in it.
    """

    command: str
    seconds: float
    other_seconds: float | None

    def __str__(self) -> str:
        other = "" if self.other_seconds is None else f"{self.other_seconds:.2f} s"
        return f"{self.command:<36}{self.seconds:8.2f} s{other:>12}"


HEADER = f"{'command':<36}{'here':>10}{'against':>12}"


def main(argv: Sequence[str] | None = None) -> None:
    """Time every command's --help, and the stage that trains an experiment for one epoch.

    The stage trains on the data and source weights of the working directory, elsewhere: one seed,
    in batches of 16, whatever the checkout's params.yaml says.
    """
    parser = cli.parser("benchmarks.startup", str(main.__doc__), EXAMPLES)
    parser.add_argument("--experiment", default="Baseline", help="to train (%(default)s)")
    parser.add_argument("--against", type=Path, help="another checkout of this project")
    parser.add_argument("--repeats", type=count, default=3, help="in turn (%(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(argv)
    for path in (paths.FACES, paths.SOURCE):
        if not path.is_file():
            raise StaleInputError(str(path), "no such file", "run `dvc repro dataset weights`")
    if options.against and not (options.against / PARAMS).is_file():
        raise ConfigError(
            str(options.against), f"has no {PARAMS}", "name a checkout of this project"
        )
    trees = [ROOT, *([options.against.resolve()] if options.against else [])]
    commands = [[name, "--help"] for name in COMMANDS] + [["pipelines.train", options.experiment]]
    timings = [time_command(command, trees, options.repeats) for command in commands]
    if options.json:
        print(json.dumps([asdict(timing) for timing in timings]))
    else:
        print(HEADER, *timings, sep="\n")


def time_command(command: Sequence[str], trees: Sequence[Path], repeats: int) -> StartupTiming:
    """Run a command with the code of each checkout in turn, after running each once unmeasured."""
    found: dict[Path, list[float]] = {tree: [] for tree in trees if _has(tree, command[0])}
    for tree in found:
        run_command(command, tree)
    for repeat in range(repeats):
        for tree, seconds in reversed(found.items()) if repeat % 2 else found.items():
            seconds.append(run_command(command, tree))
    medians = {tree: statistics.median(seconds) for tree, seconds in found.items()}
    own, *other = trees
    return StartupTiming(" ".join(command), medians[own], medians.get(other[0]) if other else None)


def run_command(command: Sequence[str], tree: Path) -> float:
    """Processor seconds of one run, user and system, in a new project with the data of this one.

    Raises ConfigError if the command fails.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / ".dvc").mkdir()  # so that MLflow's runs stay in it
        (folder / paths.FACES.parent).symlink_to(paths.FACES.parent.resolve())
        (folder / paths.SOURCE).parent.mkdir()
        (folder / paths.SOURCE).symlink_to(paths.SOURCE.resolve())
        write_json(folder / PARAMS, settings(tree))
        before = _children()
        done = subprocess.run(  # noqa: S603 - our own code
            [sys.executable, "-m", *command],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(tree)},
            stdout=subprocess.DEVNULL,
            check=False,
        )
        if done.returncode:
            what = f"failed with the code of {tree}"
            raise ConfigError(" ".join(command), what, "see its message above")
        return _children() - before


def settings(tree: Path) -> dict[str, Any]:
    """The checkout's params.yaml, for as much work in every checkout: an epoch of one seed."""
    params: dict[str, Any] = read_yaml(tree / PARAMS)
    experiments = params["experiments"].values()
    for experiment in experiments:
        experiment |= {"epochs": 1, "batch_size": BATCH_SIZE}
    for part in (params, *experiments, *params["recipes"].values()):
        for key in LEFT_OUT:
            part.pop(key, None)
    return params


def _has(tree: Path, module: str) -> bool:
    path = tree.joinpath(*module.split("."))
    return path.with_suffix(".py").is_file() or (path / "__main__.py").is_file()


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    cli.run(main)
