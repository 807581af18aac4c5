"""Options that the benchmarks share."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from src import paths
from src.config import PARAMS, Params, validate

if TYPE_CHECKING:
    import torch


def add_inputs(parser: ArgumentParser) -> None:
    """Add the paths of the packed faces and the source weights, and --json."""
    add = parser.add_argument
    add("--faces", type=Path, default=paths.FACES, help="packed faces (%(default)s)")
    add("--source", type=Path, default=paths.SOURCE, help="source weights (%(default)s)")
    add("--json", action="store_true", help="print JSON")


def count(text: str) -> int:
    """A whole number, 1 or more, for argparse."""
    return _whole(text, 1)


def two_or_more(text: str) -> int:
    """A whole number, 2 or more, for argparse."""
    return _whole(text, 2)


def three_or_more(text: str) -> int:
    """A whole number, 3 or more, for argparse."""
    return _whole(text, 3)


def _whole(text: str, least: int) -> int:
    if not text.isdigit() or int(text) < least:
        raise ArgumentTypeError(f"{text!r} is not a whole number of at least {least}")
    return int(text)


def dtype_name(dtype: torch.dtype) -> str:
    """`bfloat16`, as params.yaml calls it."""
    return str(dtype).removeprefix("torch.")


def with_changes(
    params: Params, name: str, epochs: int | None = None, recipe: str | None = None
) -> Params:
    """`params` with other epochs or another recipe for experiment `name`; raises ConfigError."""
    changes = {"epochs": epochs, "recipe": recipe}
    given = {key: value for key, value in changes.items() if value}
    changed = _updated(params, name, given).model_dump(mode="json")
    return validate(type(params), changed, f"{PARAMS} with the options that were given")


def shortened(params: Params, name: str, epochs: int) -> Params:
    """`params` with `epochs` epochs at most of experiment `name`, for what is no whole training.

    Blocks that would begin to train later begin in the last of them, and none is frozen again.
    """
    fewer = min(epochs, params.experiment(name).epochs)
    starts = params.recipe_of(name).unfreeze_at
    earlier = {block: min(first, fewer) for block, first in starts.items()}
    return _updated(params, name, {"epochs": fewer, "unfreeze_at": earlier, "freeze_at": {}})


def _updated(params: Params, name: str, changes: Mapping[str, Any]) -> Params:
    experiment = params.experiment(name).model_copy(update=changes)
    experiments = params.experiments | {name: experiment}
    return params.model_copy(update={"experiments": experiments})
