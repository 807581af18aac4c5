"""Options that the benchmark's commands share."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from pathlib import Path

from src import paths
from src.config import Params


def add_inputs(parser: ArgumentParser) -> None:
    """Where the packed faces and the source weights are, and how results are printed."""
    parser.add_argument("--faces", type=Path, default=paths.FACES)
    parser.add_argument("--source", type=Path, default=paths.SOURCE)
    parser.add_argument("--json", action="store_true", help="print JSON")


def count(text: str) -> int:
    """A whole number from 1 up; argparse says so of anything else."""
    return _whole(text, 1)


def two_or_more(text: str) -> int:
    """As `count`, from 2 up."""
    return _whole(text, 2)


def _whole(text: str, least: int) -> int:
    if not text.isdigit() or int(text) < least:
        raise ArgumentTypeError(f"{text!r} is not a whole number from {least} up")
    return int(text)


def with_changes(
    params: Params, name: str, epochs: int | None = None, recipe: str | None = None
) -> Params:
    """`params` with other epochs and another recipe for experiment `name`, validated again."""
    changes = {"epochs": epochs, "recipe": recipe}
    experiment = params.experiment(name).model_copy(
        update={key: value for key, value in changes.items() if value}
    )
    experiments = params.experiments | {name: experiment}
    return type(params).model_validate(params.model_copy(update={"experiments": experiments}))
