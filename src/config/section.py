"""What all parts of a configuration file share: their base class, types and reading."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from src.errors import ConfigError

Policy = Literal["fail", "drop", "warn"]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Probability = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
Key = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]  # DVC splits keys at dots


class Section(BaseModel):
    """A part of params.yaml: immutable, strictly typed, without undeclared keys.

    The docstrings of its fields are their meanings in docs/configuration.md.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )


S = TypeVar("S", bound=Section)


def read_yaml(path: Path) -> Any:
    """The content of a YAML 1.2 file, read as DVC reads it (`1e-3` is a number).

    Raises ConfigError if the file is missing or is not valid YAML.
    """
    try:
        return YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(str(path), "no such file", "run from the project's folder") from None
    except (YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        what = getattr(error, "problem", None) or "not a text file in UTF-8"
        raise ConfigError(where, f"not valid YAML ({what})", "correct that line") from None


def validate(model: type[S], raw: Any, where: str) -> S:
    """`raw` as a `model`; raises ConfigError that names every wrong key on one line."""
    try:
        # Through JSON, whose strict mode accepts a list for a tuple but converts nothing else.
        return model.model_validate_json(json.dumps(raw))
    except (TypeError, ValueError) as error:
        problems = error.errors() if isinstance(error, ValidationError) else []
        what = "; ".join(_problem(problem) for problem in problems) or str(error)
        raise ConfigError(where, what, "see docs/configuration.md") from None


def _problem(problem: Any) -> str:
    key = ".".join(str(part) for part in problem["loc"] if part != "[key]")
    if problem["type"] == "extra_forbidden":
        return f"{key} is not a known key"
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "missing":
        message = "is required"
    given = problem["input"]
    shown = "" if isinstance(given, dict | list) else f" (got {given!r})"
    return f"{key}: {message}{shown}" if key else message
