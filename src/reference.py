"""Writes the reference of every setting from the models that validate it.

docs/configuration.md is for people, params.schema.json for editors; both come from the JSON schema
of `src.config`, so that each meaning is written once, beside its field.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from src import cli
from src.config import PARAMS, Params
from src.config.weights import WEIGHTS_ORIGINS
from src.data.origins import KINDS as DATA_ORIGINS
from src.files import write_text

PAGE, SCHEMA = Path("docs/configuration.md"), Path("params.schema.json")
INTRODUCTION = f"""\
# Configuration

Every key of [{PARAMS}](../{PARAMS}) and of the origin files in `data/` and `weights/`. NAME stands
for a name of your choice. This page is generated: `python -m src.reference` writes it from the
models that validate the files before any work starts. A key that stands in {PARAMS} has to stay
there even at its default, since dvc.yaml may name it.
"""
HEADER = ("| key | value | default | meaning |", "| --- | --- | --- | --- |")
LIMITS = {
    "minimum": "at least",
    "exclusiveMinimum": "above",
    "maximum": "at most",
    "exclusiveMaximum": "below",
}
WORDS = {"boolean": "`true`, `false`", "string": "text", "null": "`null`"}
Schema = Mapping[str, Any]


def page() -> str:
    """docs/configuration.md."""
    parts = [INTRODUCTION, f"## {PARAMS}\n", *_tables(Params.model_json_schema())]
    for folder, kinds in (("data", DATA_ORIGINS), ("weights", WEIGHTS_ORIGINS)):
        for kind, model in sorted(kinds.items()):
            title = f"## {folder}/*.yaml with `kind: {kind}`\n"
            parts += [title, *_tables(model.model_json_schema())]
    return "\n".join(parts)


def schema() -> str:
    """params.schema.json."""
    return json.dumps(Params.model_json_schema(), indent=2) + "\n"


def _tables(root: Schema, at: Schema | None = None, prefix: str = "") -> Iterator[str]:
    """The keys of one section of the file, then those of the sections below it."""
    here, rows, below = at or root, [*HEADER], []
    if prefix:
        yield f"### {prefix.removesuffix('.')}\n"
    yield f"{here['description']}\n"
    for name, field in here["properties"].items():
        meaning, default = field.get("description", ""), f"`{json.dumps(field.get('default', {}))}`"
        if found := _section(field):
            default = ""
            section = root["$defs"][found[0].rsplit("/", 1)[-1]]
            below.append((section, f"{prefix}{name}{found[1]}."))
            meaning = meaning or section["description"].split("\n")[0]
        if name in here.get("required", ()):
            default = "required"
        if name != "kind" or prefix:  # else the heading has it
            meaning = " ".join(meaning.split())
            rows.append(f"| `{prefix}{name}` | {_values(field)} | {default} | {meaning} |")
    yield "\n".join([*rows, ""])
    for section, key in below:
        yield from _tables(root, section, key)


def _section(field: Schema) -> tuple[str, str] | None:
    """The section that a field holds, if any, and what to append to the field's key to reach it."""
    for option in field.get("anyOf", [field]):
        named = [(inner, ".NAME") for inner in option.get("patternProperties", {}).values()]
        for inner, suffix in [(option, ""), (option.get("items", {}), "[]"), *named]:
            if "$ref" in inner:
                return inner["$ref"], suffix
    return None


def _values(field: Schema) -> str:
    """What a key may hold, in words."""
    if "anyOf" in field:
        return ", or ".join(map(_values, field["anyOf"]))
    if "enum" in field:
        return ", ".join(f"`{choice}`" for choice in field["enum"])
    if "prefixItems" in field:
        return f"[{', '.join(map(_values, field['prefixItems']))}]"
    if "items" in field:
        return f"[{_values(field['items'])}, …]"
    for inner in (*field.get("patternProperties", {}).values(), field.get("additionalProperties")):
        if inner:
            return f"{{NAME: {_values(inner)}, …}}"
    kind = field.get("type", "section")
    limits = [f"{word} {field[limit]}" for limit, word in LIMITS.items() if limit in field]
    return f"{WORDS.get(kind, kind)} {' and '.join(limits)}".strip()


def main(argv: Sequence[str] | None = None) -> None:
    """Write both files."""
    parser = cli.parser(
        "src.reference",
        f"Write {PAGE} and {SCHEMA} from the models in src/config.",
        "  python -m src.reference",
    )
    parser.parse_args(argv)
    write_text(PAGE, page())
    write_text(SCHEMA, schema())
    print(f"wrote {PAGE} and {SCHEMA}")


if __name__ == "__main__":
    cli.run(main)
