"""The command line's say over params.yaml, checked by the same rules."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from src.config import Engine, Params, Tune, validate
from src.config.presets import merged, read_preset


def add_options(parser: argparse.ArgumentParser) -> None:
    """What stands in `tune` of params.yaml, as options of the command line."""
    add = parser.add_argument
    add("--preset", help="a file of conf/, without .yaml, whose `tune` counts here: tune-mission")
    add("--trials", type=int, help="of the study in all, however often it is stopped and started")
    add("--study", help="its name in the storage")
    add("--storage", help="any Optuna URL; several processes need a server, as PostgreSQL")
    add("--wave", type=int, help="trials that train together as one batched problem")
    add("--seed", type=int, help="of the search and of every head")
    add("--epochs", type=int, help="of a trial that is not pruned")
    add("--device", help="auto, cpu or cuda")
    add("--sampler", help="tpe or random")
    add("--pruner", help="halving, median or none")
    space = parser.add_argument_group("space", "LOW:HIGH, or one value to fix it")
    space.add_argument("--layers", type=_bounds(int), help="hidden layers")
    space.add_argument("--width", type=_bounds(int), help="units of each")
    space.add_argument("--dropout", type=_bounds(float), help="rate of each")
    space.add_argument("--learning-rate", type=_bounds(float), help="peak")
    space.add_argument("--weight-decay", type=_bounds(float))
    space.add_argument("--batch-size", type=_bounds(int, ","), help="the choices: 32,64,128")


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
    preset = read_preset(options.preset) if options.preset else {}
    tune: dict[str, Any] = merged(params.tune.model_dump(), preset.get("tune", {}))
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
