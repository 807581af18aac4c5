"""Reading YAML files in bounded time and memory, whatever is in them.

The reader that DVC uses takes minutes for aliases of aliases, and raises nearly anything for
scalars that only look like numbers. So what a file holds is bounded while it is parsed, before any
value is made of it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer, ComposerError
from ruamel.yaml.constructor import ConstructorError, SafeConstructor
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import AliasEvent
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode

from src.errors import ConfigError

MAX_BYTES = 2**18  # of a file, which the reader takes half a second for; params.yaml has 7 thousand
MAX_VALUES = 10_000  # in a file, counted again wherever an alias repeats them; params.yaml has 400
MAX_DEPTH = 32  # of lists and mappings within each other; params.yaml has 5
MAX_DIGITS = 400  # of a number; Python takes ever longer for more
TEXT, DATE = "tag:yaml.org,2002:str", "tag:yaml.org,2002:timestamp"
PLAIN = {
    f"tag:yaml.org,2002:{kind}"
    for kind in ("str", "int", "float", "bool", "null", "seq", "map", "merge", "value")
}


def read_yaml(path: Path) -> Any:
    """The content of a YAML 1.2 file, read as DVC reads it (`1e-3` is a number).

    Raises ConfigError, with the line where there is one, if the file is missing, is not valid YAML,
    or holds more than a settings file does.
    """
    content = _content(path)
    yaml = YAML(typ="safe", pure=True)
    yaml.Composer, yaml.Constructor = _Composer, _Constructor
    try:
        return yaml.load(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ConfigError(f"{path}:{line}", "not a text file in UTF-8", "save it as one") from None
    except Exception as error:  # ruamel raises nearly anything for what is no YAML
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        what = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
        raise ConfigError(where, f"not valid YAML ({what})", "correct that line") from None


def _content(path: Path) -> bytes:
    try:
        # Only a regular file is read: a named pipe would never end.
        if path.exists() and not path.is_file():
            raise ConfigError(str(path), "not a file", "put a YAML file in its place")
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError(str(path), "no such file", "run from the project's folder") from None
    except (OSError, ValueError) as error:
        what = (getattr(error, "strerror", None) or str(error)).lower()
        raise ConfigError(str(path), f"cannot be read ({what})", "give a file that can") from None
    if len(content) > MAX_BYTES:
        what = f"more than {MAX_BYTES:,} bytes, which no settings need"
        raise ConfigError(str(path), what, "make it smaller")
    return content


class _Composer(Composer):
    """Composes the tree of a file, and stops where it holds too much, or not plain data."""

    def __init__(self, loader: Any = None) -> None:
        super().__init__(loader)
        self.warn_double_anchors = False
        self.values = self.level = 0
        self.sizes: dict[int, int] = {}  # values in each finished node with an anchor

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.parser.peek_event()
        before, self.level = self.values, self.level + 1
        if self.level > MAX_DEPTH:
            raise _problem(event, f"nested deeper than {MAX_DEPTH} levels")
        node: Node = super().compose_node(parent, index)
        self.level -= 1
        if isinstance(event, AliasEvent):
            if id(node) not in self.sizes:
                raise _problem(event, f"{event.anchor!r} contains itself")
            self.values += self.sizes[id(node)]
        else:
            self.values += 1
            if event.anchor is not None:
                self.sizes[id(node)] = self.values - before
        if self.values > MAX_VALUES:
            raise _problem(event, f"more than {MAX_VALUES:,} values, each alias's counted")
        _check_plain(event, node)
        if isinstance(parent, MappingNode) and index is None and not isinstance(node, ScalarNode):
            raise _problem(event, "a list or a mapping as a key")
        return node


def _check_plain(event: Any, node: Node) -> None:
    tag = str(node.tag)
    if tag == DATE:
        raise _problem(event, "a date, which no setting is; in quotes it is text")
    if tag not in PLAIN:
        raise _problem(event, f"{tag} is not a tag of plain data")
    if isinstance(node, ScalarNode) and tag != TEXT and len(node.value) > MAX_DIGITS:
        raise _problem(event, f"a number of {len(node.value):,} characters")


def _problem(event: Any, what: str) -> ComposerError:
    return ComposerError(None, None, what, event.start_mark)


class _Constructor(SafeConstructor):
    """Says in which line a scalar is that is not what its tag or its first characters say."""

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except YAMLError:
            raise
        except Exception as error:
            raise ConstructorError(None, None, str(error), node.start_mark) from None
