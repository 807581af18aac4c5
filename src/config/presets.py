"""Presets: files that change many keys of params.yaml at once, for one purpose.

Those in conf/ are merged into params.yaml, key by key. Those in studies/ are literature studies:
their experiments replace those of params.yaml, and their `study` says what the text claims. An
experiment that is null in a preset is left out. A preset may extend another, and then holds only
what differs from it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from src.config.yaml_file import read_yaml
from src.errors import ConfigError

CONF, STUDIES = Path("conf"), Path("studies")
EXTENDS, STUDY = "extends", "study"


def read_preset(name: str, root: Path = Path(), below: tuple[str, ...] = ()) -> dict[str, Any]:
    """A preset of the project in `root`, merged into those it extends; raises ConfigError.

    below: the presets that extend this one, which it may not extend itself.
    """
    # Unlike Path.is_file, this is False for a name that is too long for a file.
    path = next((p for p in _paths(name, root) if os.path.isfile(p)), None)  # noqa: PTH113
    if path is None:
        there = sorted(
            file.stem for folder in (CONF, STUDIES) for file in (root / folder).glob("*.yaml")
        )
        raise ConfigError(f"preset {name!r}", "no such file", f"use one of {', '.join(there)}")
    preset = read_yaml(path)
    if not isinstance(preset, dict):
        raise ConfigError(str(path), "not a mapping", "give keys of params.yaml and their values")
    base = preset.pop(EXTENDS, None)
    if base is None:
        return preset
    if not isinstance(base, str) or base in (*below, name):
        raise ConfigError(
            f"{path}: {EXTENDS}", f"is {base!r}", "name a preset that does not extend this one"
        )
    return merged(read_preset(base, root, (*below, name)), preset)


def _paths(name: str, root: Path) -> tuple[Path, Path]:
    file = f"{name}.yaml"
    return root / CONF / file, root / STUDIES / file


def merged(base: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """`base` updated with the values of `change`, recursively."""
    result = dict(base)
    for key, value in change.items():
        both = isinstance(value, dict) and isinstance(base.get(key), dict)
        result[key] = merged(base[key], value) if both else value
    return result


def changed(params: dict[str, Any], preset: dict[str, Any]) -> dict[str, Any]:
    """params.yaml's content with a preset applied."""
    replaced = {"experiments"} if STUDY in preset else set()
    result = merged({key: value for key, value in params.items() if key not in replaced}, preset)
    for name in left_out(preset):
        result["experiments"].pop(name)
    return result


def left_out(preset: dict[str, Any]) -> list[str]:
    """The experiments of params.yaml that a preset is without."""
    experiments = preset.get("experiments")
    known = experiments if isinstance(experiments, dict) else {}
    return [name for name, value in known.items() if value is None]


def with_study(params: Any, root: Path) -> Any:
    """params.yaml's content, its `study` replaced by the content of the file that it names."""
    name = params.get(STUDY) if isinstance(params, dict) else None
    if not isinstance(name, str):
        return params
    study = read_preset(name, root).get(STUDY)
    if study is None:
        raise ConfigError(
            f"params.yaml: {STUDY}", f"{name!r} is not a literature study", "name one of studies/"
        )
    return {**params, STUDY: study}
