"""However a file of settings is mutated, it is read or refused on one line, within a time limit.

`pytest --hypothesis-profile thorough tests/test_fuzz_settings.py` draws 340 times as many.
"""

from __future__ import annotations

import copy
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from src.config import BEST, PARAMS, Params, SearchResult, load_params, read_yaml, validate
from src.config.origin_file import read_origin_file
from src.config.presets import CONF, STUDIES, changed, read_preset
from src.config.weights import read_weights_origin
from src.data.origins import KINDS
from src.errors import UserError
from tests.shipped import PRESETS, SHIPPED

LIMIT = 5  # seconds of one example, of which the largest file takes two on a slow core
FRAGMENTS = [
    *("", "~", "true", "-1", "0", "1e999", "-.inf", ".nan", "0x_", "0o9", "1_", "9" * 5000),
    *("2020-99-99", "2020-01-01T25:00:00Z", "!!int foo", "!!binary =", "!!float {}", "!!map 1"),
    *("!!timestamp x", "!!omap [a]", "!!set {a}", "!!null x", "!!bool maybe", "!!str [1]", "!x 1"),
    *("&a [*a]", "*a", "&a 1", "<<", "{<<: 1}", "{<<: *a}", "{=: 1}", "? [a]", "{[a]: 1}"),
    *("{1: 1}", "[" * 80, "{a: " * 80, "- " * 80, "|", ">-", "'", '"', '"\\ud800"', '"\\x'),
    *("%YAML 1.1", "---", "...", "\ufeff", "\x00", "\t", "\u2028", "[[1, 2], {a: [3]}]", "{}"),
    *("[a, 1, null]", "a" * 5000, "../../x", '"a\\0b"', "http://ann:secret@h", "${x}", "1:2:3"),
    *("null: null", "yes", "@", "`", "#"),
]
FILES = {
    str(path.relative_to(SHIPPED)): path.read_bytes()
    for folder in ("data", "weights", *map(str, (CONF, STUDIES)), str(BEST.parent))
    for path in sorted((SHIPPED / folder).glob("*.yaml"))
}
RAW = read_yaml(SHIPPED / PARAMS)
# Without its comments, which take most of the time.
SETTINGS = re.sub(rb" *#.*", b"", (SHIPPED / PARAMS).read_bytes())
VALUES = st.sampled_from([text.encode("utf-8", "surrogatepass") for text in FRAGMENTS])
PLACES = st.integers(0, 2**16)
Change = tuple[str, int, int, bytes]


def changes(most: int = 4) -> st.SearchStrategy[list[Change]]:
    kinds = st.sampled_from(["flip", "cut", "repeat", "put", "value", "line", "key", "indent"])
    return st.lists(st.tuples(kinds, PLACES, PLACES, VALUES | st.binary(max_size=3)), max_size=most)


def mutated(content: bytes, made: list[Change]) -> bytes:
    """`content` after changes of its bytes (the first four kinds) or of its lines."""
    for kind, first, second, text in made:
        place, length = first % (len(content) or 1), second % 60
        lines = content.split(b"\n")
        line = first % len(lines)
        match kind:
            case "flip" if content:
                other = bytes([content[place] ^ (1 << second % 8)])
                content = content[:place] + other + content[place + 1 :]
            case "cut":
                content = content[:place] + content[place + length :]
            case "repeat":
                part = content[place : place + length]
                content = content[:place] + part * (second % 40) + content[place:]
            case "put":
                content = content[:place] + text + content[place:]
            case "value":
                lines[line] = re.sub(rb": .*|- .*", lambda m, new=text: m[0][:2] + new, lines[line])
            case "key":
                lines[line] = re.sub(
                    rb"[\w-]+:", lambda _, new=text: new + b":", lines[line], count=1
                )
            case "line":
                lines[line : line + second % 3] = lines[second % len(lines) :][: second % 5]
            case "indent":
                lines[line] = b" " * (second % 5) + lines[line]
        content = b"\n".join(lines) if kind in ("value", "key", "line", "indent") else content
    return content


@contextmanager
def one_line_within_the_limit() -> Iterator[None]:
    started = time.process_time()
    try:
        yield
    except UserError as error:
        assert str(error).isprintable() and len(str(error)) < 8000
    assert time.process_time() - started < LIMIT


def put(root: Path, name: str, content: bytes) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of nothing but the shipped files of settings."""
    folder = tmp_path_factory.mktemp("project")
    for name, content in FILES.items():
        put(folder, name, content)
    return folder


@given(made=changes())
@example(made=[("value", 1, 0, b"2020-99-99")])
@settings(deadline=None)
def test_mutated_settings_are_read_or_refused(root: Path, made: list[Change]) -> None:
    with one_line_within_the_limit():
        load_params(put(root, str(PARAMS), mutated(SETTINGS, made)))


@given(name=st.sampled_from(sorted(FILES)), made=changes())
@settings(deadline=None)
def test_mutated_origin_files_presets_and_searches_are_read_or_refused(
    root: Path, name: str, made: list[Change]
) -> None:
    path = put(root, name, mutated(FILES[name], made))
    try:
        with one_line_within_the_limit():
            read(path, root)
    finally:
        path.write_bytes(FILES[name])


def read(path: Path, root: Path) -> None:
    match path.parent.name:
        case "data":
            read_origin_file(path, KINDS, "hint")
        case "weights":
            read_weights_origin(path)
        case "tune":
            validate(SearchResult, read_yaml(path), str(path))
        case _:
            validate(Params, changed(RAW, read_preset(path.stem, root)), str(path))


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where values are within lists and mappings."""
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for key, each in inner:
        yield (*path, key)
        if isinstance(each, list | dict):
            yield from places(each, (*path, key))


PATHS = [*places(RAW)]
SHIPPED_PRESETS = {name: read_preset(name, SHIPPED) for name in PRESETS}
VALUES_OF = [None, True, -1, 0, 2**70, 0.5, 1e308, "", "head", "\ud800", [], {}, [[]], {"a": 1}]
SWAPS = st.tuples(
    st.sampled_from(PATHS), st.sampled_from(VALUES_OF) | st.sampled_from(PATHS), st.booleans()
)


def at(tree: Any, path: tuple[Any, ...]) -> Any:
    return at(tree[path[0]], path[1:]) if path else tree


@given(swaps=st.lists(SWAPS, min_size=1, max_size=3), preset=st.sampled_from([None, *PRESETS]))
@settings(deadline=None)
def test_settings_with_values_exchanged_are_taken_or_refused(
    swaps: list[tuple[tuple[Any, ...], Any, bool]], preset: str | None
) -> None:
    tree = copy.deepcopy(RAW)
    for path, other, add in swaps:
        with suppress(LookupError, TypeError):  # an earlier exchange took the place away
            value = copy.deepcopy(at(RAW, other) if isinstance(other, tuple) else other)
            parent, key = at(tree, path[:-1]), path[-1]
            parent[f"{key}{'x' * add}" if isinstance(parent, dict) else key] = value
    with one_line_within_the_limit():
        validate(Params, changed(tree, SHIPPED_PRESETS[preset]) if preset else tree, "x")
