"""The import closure of a module: which of the project's files it runs, and their digest.

A result that is kept (a cache, a checkpoint, a stage's output) is valid only for the code that made
it. DVC learns of that code from dvc.yaml, which `tests/pipelines/test_graph.py` compares with the
closure; files in `.cache` carry the closure's digest in their names.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("src", "pipelines", "benchmarks")


@cache
def import_closure(*modules: str) -> tuple[Path, ...]:
    """Files, relative to the project's root, of all modules that running `modules` may import.

    Includes imports inside functions and the `__init__.py` of every package on the way; excludes
    imports under `if TYPE_CHECKING:` and libraries.
    """
    found: set[Path] = set()
    waiting = list(modules)
    while waiting:
        for path in _files(waiting.pop()):
            if path not in found:
                found.add(path)
                waiting += imported_modules(path)
    return tuple(sorted(path.relative_to(ROOT) for path in found))


@cache
def code_digest(*modules: str) -> str:
    """SHA-256 of the paths and contents of the import closure of `modules`."""
    seen = hashlib.sha256()
    for path in import_closure(*modules):
        seen.update(f"{path.as_posix()}\0".encode())
        seen.update(hashlib.sha256((ROOT / path).read_bytes()).digest())
    return seen.hexdigest()


def imported_modules(path: Path, *, for_types: bool = False) -> Iterator[str]:
    """Modules that a file imports; for `from a import b`, `a.b` if that is a module, else `a`.

    for_types: include imports under `if TYPE_CHECKING:`.
    """
    tree = ast.parse(path.read_bytes())
    for node in _statements(tree, for_types=for_types):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if _file(inner) else node.module


def _files(module: str) -> Iterator[Path]:
    """The module's own file and the `__init__.py` files above it; none for a library."""
    parts = module.split(".")
    for end in range(1, len(parts) + 1):
        if file := _file(".".join(parts[:end])):
            yield file


def _file(module: str) -> Path | None:
    """The source of one of the project's modules; None for anything else."""
    top, *rest = module.split(".")
    path = ROOT.joinpath(top, *rest)
    own = (path / "__init__.py", path.with_suffix(".py")) if top in PACKAGES else ()
    return next((file for file in own if file.is_file()), None)


def _statements(tree: ast.Module, *, for_types: bool) -> Iterator[ast.AST]:
    """All statements, at any depth; without `for_types`, not those under `if TYPE_CHECKING:`."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            waiting += [*node.orelse, *(node.body if for_types else ())]
        else:
            # No statement is within an expression, and there are ten times as many of those.
            inner = ast.iter_child_nodes(node)
            waiting += [child for child in inner if not isinstance(child, ast.expr)]
