"""Command-line options that override `tune` of params.yaml, validated like it."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import TypeAdapter, ValidationError

from src.config import Engine, Params, Tune, validate
from src.config.presets import merged, read_preset
from src.errors import ConfigError

SEED: TypeAdapter[int] = TypeAdapter(Annotated[int, Params.model_fields["seed"]])
STORAGE = "OPTUNA_STORAGE"  # the variable by which Optuna's own commands are given a storage


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add an option for each key of `tune` in params.yaml, and for the seed and the device."""
    add = parser.add_argument
    add(
        "--preset",
        help="file of conf/, without .yaml, whose `tune` is used: tune-mission",
    )
    add(
        "--trials",
        type=int,
        help="trials of the study in total, over all runs of this command",
    )
    add("--study", help="name of the study in the storage")
    add(
        "--storage",
        help="sqlite:///FILE or postgresql://USER@HOST/DATABASE; if it holds a password, set "
        f"{STORAGE} instead, since others can read command lines",
    )
    add("--wave", type=int, help="number of trials whose heads train together as one batch")
    add("--seed", type=int, help="seed of the sampler and of every head")
    add("--epochs", type=int, help="epochs of a trial that is not pruned")
    add("--device", help="auto, cpu or cuda")
    add("--sampler", help="tpe or random")
    add("--pruner", help="halving, median or none")
    space = parser.add_argument_group(
        "search space", "LOW:HIGH, or one value to fix it; of batch sizes, choices"
    )
    space.add_argument("--layers", type=_bounds(int), help="number of hidden layers")
    space.add_argument("--width", type=_bounds(int), help="units of each hidden layer")
    space.add_argument("--dropout", type=_bounds(float), help="dropout rate of each hidden layer")
    space.add_argument("--learning-rate", type=_bounds(float), help="peak learning rate")
    space.add_argument("--weight-decay", type=_bounds(float), help="weight decay")
    space.add_argument("--batch-size", type=_bounds(int, ","), help="choices, such as 32,64,128")


def _seed(number: int) -> int:
    """A seed that params.yaml may have; raises ConfigError."""
    try:
        return SEED.validate_python(number)
    except ValidationError:
        raise ConfigError("--seed", f"cannot be {number}", f"give 0 to {2**31 - 1}") from None


def _bounds(number: Callable[[str], float], between: str = ":") -> Callable[[str], list[float]]:
    def parse(text: str) -> list[float]:
        try:
            return [number(part) for part in text.split(between)]
        except ValueError:
            raise argparse.ArgumentTypeError(
                f"{text!r} is neither a value nor several joined by {between!r}"
            ) from None

    return parse


def given_storage(configured: str) -> str:
    """The storage of the environment, before the one of params.yaml."""
    return os.environ.get(STORAGE) or configured


def _tune_of(preset: str) -> dict[str, Any]:
    """`tune` of a preset; raises ConfigError."""
    where, content = f"preset {preset!r}", read_preset(preset)
    if "tune" not in content:
        raise ConfigError(where, "has no `tune`", "name one that has, such as tune-mission")
    tune = content["tune"]
    if not isinstance(tune, dict) or not isinstance(tune.get("space", {}), dict):
        what = "its `tune` and `space` are not mappings"
        raise ConfigError(where, what, "give keys and their values")
    return tune


def with_options(params: Params, options: argparse.Namespace) -> Params:
    """`params` with the preset and the options given in place; raises ConfigError.

    A storage is taken from the command line, then from OPTUNA_STORAGE, then from params.yaml.
    """
    given = {key: value for key, value in vars(options).items() if value is not None}
    preset = _tune_of(options.preset) if options.preset else {}
    tune: dict[str, Any] = merged(params.tune.model_dump(), preset)
    tune["storage"] = given_storage(tune["storage"])
    for section in (tune, tune["space"]):
        section |= {key: value for key, value in given.items() if key in section}
    engine = params.engine.model_dump() | ({"device": options.device} if options.device else {})
    seed = {"seed": _seed(options.seed)} if options.seed is not None else {}
    return params.model_copy(
        update={
            "tune": validate(Tune, tune, "command line"),
            "engine": validate(Engine, engine, "command line"),
            **seed,
        }
    )
