"""`python -m src.preset NAME`: a preset as arguments for `dvc exp run`.

A preset thereby changes params.yaml, like any `-S`, and DVC records what it changed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from src import cli
from src.config import BEST, PARAMS, Params, read_yaml, validate
from src.config.presets import STUDY, changed, left_out, read_preset, with_study
from src.errors import ConfigError

# A shell passes over the exit code of `$(...)`, and DVC would run without the preset. It refuses
# this, which is no `key=value`, before it does anything, on fewer lines than an unknown option.
REFUSED = "-S refused-for-the-error-above"

# What a shell splits an argument at or expands, and what Hydra takes for text without quotes.
CHANGED = re.compile(r"[\s*?\[]")
PLAIN = re.compile(r"[A-Za-z_/][\w./-]*", re.ASCII)
NOT_TEXT = frozenset({"true", "false", "null", "nan", "inf"})


def overrides(name: str) -> list[str]:
    """The preset in Hydra's grammar: `key=value`, or `++key=value` if params.yaml lacks the key.

    Two plusses also put a value in the place of a mapping. An experiment that is left out becomes
    `~experiments.NAME`, if it is there.
    A literature study replaces all experiments, with `~experiments` before its own, and removes
    the one in tune/best.yaml. Raises ConfigError if there is no such preset, or if it is not valid
    in params.yaml.
    """
    preset, base = read_preset(name), read_yaml(PARAMS)
    if not isinstance(base, dict):
        raise ConfigError(str(PARAMS), "not a mapping", "give keys and their values")
    validate(Params, with_study(base, Path()), str(PARAMS))
    validate(Params, with_study(changed(base, preset), Path()), f"preset {name!r}")
    replacing = []
    if STUDY in preset:
        preset[STUDY] = name
        experiments = _hydra(preset.pop("experiments"))
        replacing = ["~experiments", f"+experiments={experiments}"]
        replacing += [f"{BEST}:~best", f"{BEST}:+best={{}}"]  # it was found on other images
    existing = dict(leaves(base))
    without = {f"experiments.{each}": each for each in left_out(preset)}
    pairs = [
        f"{'' if key in existing else '++'}{key}={_hydra(value)}"
        for key, value in leaves(preset)
        if key not in without
    ]
    removed = [f"~{key}" for key, each in without.items() if each in base["experiments"]]
    return [*replacing, *removed, *pairs]


def leaves(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each value that is not a mapping, with its dotted key.

    A mapping whose keys have dots themselves, as names of blocks may, counts as one value.
    """
    if not isinstance(value, dict) or any("." in str(key) for key in value):
        yield prefix, value
        return
    for key, inner in value.items():
        yield from leaves(inner, f"{prefix}.{key}" if prefix else str(key))


def _hydra(value: Any) -> str:
    """A value in Hydra's override grammar, without spaces, so that a shell does not split it.

    Quotes reach Hydra from within `$(...)`. Raises ConfigError for text that a shell would change.
    """
    if isinstance(value, str):
        if CHANGED.search(value):
            mend = "write it into params.yaml, since a shell would split or expand an argument"
            raise ConfigError("a preset", f"{value!r} has spaces or wildcards", mend)
        plain = PLAIN.fullmatch(value) and value.lower() not in NOT_TEXT
        return value if plain else json.dumps(value, ensure_ascii=False)
    if isinstance(value, list):
        return f"[{','.join(map(_hydra, value))}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{key}:{_hydra(inner)}' for key, inner in value.items())}}}"
    return json.dumps(value, separators=(",", ":"))


def main(argv: Sequence[str] | None = None) -> None:
    """Print `-S key=value` for each key of a preset, or what DVC refuses if there is an error."""
    parser = cli.parser(
        "src.preset",
        "Print a preset of conf/ or studies/ as arguments for `dvc exp run`.",
        "  dvc exp run $(python -m src.preset smoke)\n"
        "  dvc exp run --temp $(python -m src.preset hotdog)\n"
        "  dvc exp run $(python -m src.preset reference) -S data.origin=data/my_faces.tar.gz",
    )
    parser.add_argument("name", help="file of conf/ or studies/, without .yaml")
    try:
        pairs = overrides(parser.parse_args(argv).name)
    except (Exception, SystemExit) as error:
        if getattr(error, "code", 2):  # --help ends with 0
            print(REFUSED)
        raise
    print(" ".join(f"-S {pair}" for pair in pairs))


if __name__ == "__main__":
    cli.run(main)
