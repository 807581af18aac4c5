"""Origin files: small YAML files that say where a dataset or source weights come from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from src.config.section import S, validate
from src.config.yaml_file import read_yaml
from src.errors import ConfigError


def read_origin_file(path: Path, kinds: Mapping[str, type[S]], hint: str) -> S:
    """The keys of an origin file, as the class of `kinds` that its `kind` names.

    Raises ConfigError: for an unknown kind with the known ones and `hint`, for an unknown key
    with the known keys.
    """
    raw = read_yaml(path)
    kind = raw.get("kind") if isinstance(raw, dict) else None
    if not isinstance(kind, str) or kind not in kinds:
        mend = f"use one of {', '.join(sorted(kinds))} ({hint})"
        raise ConfigError(f"{path}: kind", f"is {kind!r}", mend)
    keys = kinds[kind].model_fields
    if unknown := [str(key) for key in raw if key not in keys]:
        what = f"{', '.join(unknown)} is not a key of {kind}"
        raise ConfigError(str(path), what, f"use {', '.join(keys)}")
    return validate(kinds[kind], raw, str(path))
