"""Which of this project's files a module runs with: the import closure, and a digest of it.

A result that is kept for later (a cache, a checkpoint, a stage's output) was made by code. DVC
is told which code by `dvc.yaml`, which `tests/pipelines/test_graph.py` holds against the closure
here; what is kept in `.cache` carries the closure's digest in its name.
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
    """Files, relative to the project's root, that importing and running `modules` may read.

    Imports inside functions count, those for type checkers alone do not; a package counts with
    the `__init__.py` of every package above it. Libraries are not among the files.
    """
    found: set[Path] = set()
    waiting = list(modules)
    while waiting:
        for path in _files(waiting.pop()):
            if path not in found:
                found.add(path)
                waiting += _imported(path)
    return tuple(sorted(path.relative_to(ROOT) for path in found))


@cache
def code_digest(*modules: str) -> str:
    """A digest of the source of everything in the import closure of `modules`."""
    seen = hashlib.sha256()
    for path in import_closure(*modules):
        seen.update(f"{path.as_posix()}\0".encode())
        seen.update(hashlib.sha256((ROOT / path).read_bytes()).digest())
    return seen.hexdigest()


def _files(module: str) -> list[Path]:
    """The module's own file and the `__init__.py` files above it; none if it is a library's."""
    parts = module.split(".")
    if parts[0] not in PACKAGES:
        return []
    packages = [ROOT.joinpath(*parts[:end], "__init__.py") for end in range(1, len(parts) + 1)]
    own = ROOT.joinpath(*parts).with_suffix(".py")
    return [path for path in (*packages, own) if path.is_file()]


def _imported(path: Path) -> Iterator[str]:
    """Names that may be modules: of `from a import b`, both `a` and `a.b`."""
    for node in _running(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _running(node: ast.AST) -> Iterator[ast.AST]:
    """Every node below, without what stands under `if TYPE_CHECKING:`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and getattr(child.test, "id", "") == "TYPE_CHECKING":
            for other in child.orelse:
                yield other
                yield from _running(other)
        else:
            yield child
            yield from _running(child)
