"""Prints a preset as arguments for `dvc exp run`, so that params.yaml stays the one place that
says what there is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from src import cli
from src.config import BEST, PARAMS, Params, read_yaml, validate
from src.config.presets import STUDY, changed, read_preset


def overrides(name: str) -> list[str]:
    """The preset in Hydra's grammar: `key=value`, `+key=value` for a key that params.yaml lacks.

    A study's experiments come as one value, after `~experiments` has removed the others, and so
    goes what a search found. Raises ConfigError where there is no such preset or params.yaml does
    not take it.
    """
    preset, base = read_preset(name), read_yaml(PARAMS)
    validate(Params, changed(base, preset), f"preset {name!r}")
    replacing = []
    if STUDY in preset:
        preset[STUDY] = name
        experiments = _written(preset.pop("experiments"))
        replacing = ["~experiments", f"+experiments={experiments}"]
        replacing += [f"{BEST}:~best", f"{BEST}:+best={{}}"]  # the search was for other pictures
    there = dict(leaves(base))
    pairs = [
        f"{'' if key in there else '+'}{key}={_written(value)}" for key, value in leaves(preset)
    ]
    return replacing + pairs


def leaves(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every value that is not a mapping, with its dotted key."""
    if not isinstance(value, dict):
        yield prefix, value
        return
    for key, inner in value.items():
        yield from leaves(inner, f"{prefix}.{key}" if prefix else str(key))


def _written(value: Any) -> str:
    """A value in Hydra's override grammar, bare, so that a shell keeps it whole."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return f"[{','.join(map(_written, value))}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{key}:{_written(inner)}' for key, inner in value.items())}}}"
    return json.dumps(value, separators=(",", ":"))


def main(argv: Sequence[str] | None = None) -> None:
    """Print `-S key=value` for every key of a preset."""
    parser = cli.parser(
        "src.preset",
        "Print a preset of conf/ or studies/ as arguments for `dvc exp run`.",
        "  dvc exp run $(python -m src.preset smoke)\n"
        "  dvc exp run --temp $(python -m src.preset hotdog)\n"
        "  dvc exp run $(python -m src.preset reference) -S data.origin=data/my_faces.tar.gz",
    )
    parser.add_argument("name", help="a file of conf/ or studies/, without .yaml")
    print(" ".join(f"-S {pair}" for pair in overrides(parser.parse_args(argv).name)))


if __name__ == "__main__":
    cli.run(main)
