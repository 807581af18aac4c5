"""What all parts of a configuration file share: their base class, types and checks."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from src.errors import ConfigError

Policy = Literal["fail", "drop", "warn"]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Probability = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
# DVC's `-S` splits keys at dots, and takes none that begins with a digit.
Key = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")]


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
MAX_PROBLEMS = 20  # that are named; a file of another kind has thousands


def validate(model: type[S], raw: Any, where: str) -> S:
    """`raw` as a `model`; raises ConfigError that names the wrong keys on one line."""
    try:
        # Through JSON, whose strict mode accepts a list for a tuple but converts nothing else.
        return model.model_validate_json(json.dumps(raw))
    except (TypeError, ValueError) as error:
        problems = error.errors() if isinstance(error, ValidationError) else []
        listed = [_problem(problem) for problem in problems[:MAX_PROBLEMS]]
        if len(problems) > MAX_PROBLEMS:
            listed.append(f"and {len(problems) - MAX_PROBLEMS} more")
        what = "; ".join(listed) or str(error)
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
