"""The reference of the settings is up to date and complete."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from src import reference
from src.config import PARAMS, read_yaml
from src.config.presets import changed, read_preset
from src.preset import leaves
from tests.shipped import PRESETS, SHIPPED

ROWS = re.findall(
    r"^\| `(\S+)` \| (\{NAME: (?!section)[^|]*)?", reference.page(), flags=re.MULTILINE
)
OR_NULL = "or `null`"
DOCUMENTED = re.compile(
    "|".join(
        re.escape(key).replace("NAME", r"[^.]+")
        + (r"(\..+)?" if OR_NULL in mapping else r"\..+" if mapping else "")
        for key, mapping in ROWS
    )
)


def without_meaning(schema: Any) -> Iterator[str]:
    """Fields of a JSON schema that say nothing of themselves."""
    for model in (schema, *schema.get("$defs", {}).values()):
        for name, field in model["properties"].items():
            if "const" not in field and "$ref" not in field and not field.get("description"):
                yield f"{model['title']}.{name}"


def test_the_page_and_the_schema_are_what_the_command_writes() -> None:
    assert (SHIPPED / reference.PAGE).read_text() == reference.page(), "run python -m src.reference"
    assert (SHIPPED / reference.SCHEMA).read_text() == reference.schema()


def test_every_field_has_a_meaning() -> None:
    assert not [*without_meaning(json.loads(reference.schema()))]


@pytest.mark.parametrize("name", [None, *PRESETS])
def test_every_key_that_a_file_sets_is_in_the_page(
    name: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(SHIPPED)
    content = changed(read_yaml(PARAMS), read_preset(name) if name else {})
    assert not DOCUMENTED.fullmatch("experiments.ModelA.unknown")
    assert not [key for key, _ in leaves(content) if not DOCUMENTED.fullmatch(key)]


def test_params_yaml_names_the_schema_to_editors() -> None:
    first = (SHIPPED / PARAMS).read_text().splitlines()[0]
    assert first == f"# yaml-language-server: $schema={reference.SCHEMA}"
