"""`python -m src.tune`: let Optuna find ModelD's head."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Any

from src import cli
from src.config import Engine, Params, Tune, load_params, validate
from src.errors import ConfigError

EXAMPLES = """\
  python -m src.tune --trials 50
  python -m src.tune --layers 2 --learning-rate 0.001 --weight-decay 0.05 --batch-size 64
  python -m src.tune --study narrow --width 64:512 --pruner median --timeout 300
  python -m src.tune --storage postgresql://me@localhost/studies --workers 4"""


def main(argv: Sequence[str] | None = None) -> None:
    """Search for the best head over cached features and write it to tune/best.yaml.

    What is not given is taken from `tune` in params.yaml. A study that was stopped goes on.
    """
    given = sys.argv[1:] if argv is None else list(argv)
    options = _parser().parse_args(given)
    params = with_options(load_params(), options)
    if options.workers < 1 or (options.timeout is not None and options.timeout <= 0):
        raise ConfigError("command line", "--workers and --timeout are above 0", "mend them")

    from src.tune.command import Command

    command = Command(params, options.timeout, mlflow=not options.no_mlflow)
    if options.as_worker:
        command.work(options.as_worker)
    else:
        command.run(given, options.workers)


def _parser() -> argparse.ArgumentParser:
    parser = cli.parser("src.tune", str(main.__doc__), EXAMPLES)
    add = parser.add_argument
    add("--trials", type=int, help="of the study in all, however often it is stopped and started")
    add("--study", help="its name in the storage")
    add("--storage", help="any Optuna URL; several processes need a server, as PostgreSQL")
    add("--timeout", type=float, help="seconds after which no new wave is started")
    add("--workers", type=int, default=1, help="processes on this machine that share the study")
    add("--wave", type=int, help="trials that train together as one batched problem")
    add("--seed", type=int, help="of the search and of every head")
    add("--epochs", type=int, help="of a trial that is not pruned")
    add("--device", help="auto, cpu or cuda")
    add("--sampler", help="tpe or random")
    add("--pruner", help="halving, median or none")
    add("--no-mlflow", action="store_true", help="keep the study in its storage alone")
    space = parser.add_argument_group("space", "LOW:HIGH, or one value to fix it")
    space.add_argument("--layers", type=_bounds(int), help="hidden layers")
    space.add_argument("--width", type=_bounds(int), help="units of each")
    space.add_argument("--dropout", type=_bounds(float), help="rate of each")
    space.add_argument("--learning-rate", type=_bounds(float), help="peak")
    space.add_argument("--weight-decay", type=_bounds(float))
    space.add_argument("--batch-size", type=_bounds(int, ","), help="the choices: 32,64,128")
    add("--as-worker", type=int, help=argparse.SUPPRESS)
    return parser


def _bounds(number: Callable[[str], float], between: str = ":") -> Callable[[str], list[float]]:
    def parse(text: str) -> list[float]:
        try:
            return [number(part) for part in text.split(between)]
        except ValueError:
            raise argparse.ArgumentTypeError(
                f"{text!r} is neither a value nor several joined by {between!r}"
            ) from None

    return parse


def with_options(params: Params, options: argparse.Namespace) -> Params:
    """params.yaml with what the command line says instead; raises ConfigError."""
    given = {key: value for key, value in vars(options).items() if value is not None}
    tune: dict[str, Any] = params.tune.model_dump()
    for section in (tune, tune["space"]):
        section |= {key: value for key, value in given.items() if key in section}
    engine = params.engine.model_dump() | ({"device": options.device} if options.device else {})
    seed = {"seed": options.seed} if options.seed is not None else {}
    return params.model_copy(
        update={
            "tune": validate(Tune, tune, "command line"),
            "engine": validate(Engine, engine, "command line"),
            **seed,
        }
    )


if __name__ == "__main__":
    cli.run(main)
