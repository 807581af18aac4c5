"""Presets: files of conf/ that change many keys of params.yaml at once.

A preset holds only what differs, in the shape of params.yaml, so params.yaml stays the one place
that says what there is. This command prints it as arguments for `dvc exp run`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from src import cli
from src.config import PARAMS, Params, read_yaml, validate
from src.errors import ConfigError

FOLDER = Path("conf")


def read_preset(name: str) -> dict[str, Any]:
    """What the preset changes; raises ConfigError where params.yaml does not take it."""
    path = FOLDER / f"{name}.yaml"
    if not path.is_file():
        there = ", ".join(sorted(file.stem for file in FOLDER.glob("*.yaml")))
        raise ConfigError(str(path), "no such preset", f"use one of {there}")
    preset, base = read_yaml(path), read_yaml(PARAMS)
    if not isinstance(preset, dict):
        raise ConfigError(str(path), "not a mapping", "give keys of params.yaml and their values")
    validate(Params, merged(base, preset), str(path))
    return preset


def overrides(name: str) -> list[str]:
    """The preset as Hydra's `key=value`, or `+key=value` for a key that params.yaml lacks.

    Raises ConfigError as `read_preset` does.
    """
    there = dict(leaves(read_yaml(PARAMS)))
    return [
        f"{'' if key in there else '+'}{key}={_written(value)}"
        for key, value in leaves(read_preset(name))
    ]


def merged(base: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """`base` with the values of `change` in place, mapping by mapping."""
    result = dict(base)
    for key, value in change.items():
        both = isinstance(value, dict) and isinstance(base.get(key), dict)
        result[key] = merged(base[key], value) if both else value
    return result


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
    return json.dumps(value, separators=(",", ":"))


def main(argv: Sequence[str] | None = None) -> None:
    """Print `-S key=value` for every key of a preset."""
    parser = cli.parser(
        "src.preset",
        "Print a preset of conf/ as arguments for `dvc exp run`.",
        "  dvc exp run $(python -m src.preset smoke)\n"
        "  dvc exp run $(python -m src.preset reference) -S data.origin=data/my_faces.tar.gz",
    )
    parser.add_argument("name", help="a file of conf/, without .yaml")
    print(" ".join(f"-S {pair}" for pair in overrides(parser.parse_args(argv).name)))


if __name__ == "__main__":
    cli.run(main)
