"""The rules of docs/architecture.md about which module may import which hold in the source."""

from __future__ import annotations

import re
from pathlib import Path

import networkx
import pytest

from src.closure import PACKAGES, ROOT, imported_modules

NOT_IN_THE_CORE = {"mlflow", "dvc", "optuna"}
ROWS = re.findall(
    r"^\| `src/(\w+)` \|.*\| (.*) \|$", (ROOT / "docs/architecture.md").read_text(), re.MULTILINE
)
ALLOWED = {room: {*re.findall(r"\w+", others)} for room, others in ROWS}


def modules_of(folder: str) -> dict[str, Path]:
    """Paths of the modules below a folder, by dotted name."""
    paths = {path.relative_to(ROOT).with_suffix(""): path for path in (ROOT / folder).rglob("*.py")}
    return {".".join(name.parts).removesuffix(".__init__"): path for name, path in paths.items()}


SRC = modules_of("src")


def imports(folder: str) -> list[tuple[str, str]]:
    """Every import below a folder, also those inside functions and for type checkers."""
    return [
        (module, name)
        for module, path in modules_of(folder).items()
        for name in imported_modules(path, for_types=True)
    ]


@pytest.mark.parametrize("room", ["src/training", "src/models", "src/data"])
def test_what_trains_knows_neither_mlflow_nor_dvc_nor_optuna(room: str) -> None:
    assert not [pair for pair in imports(room) if pair[1].split(".")[0] in NOT_IN_THE_CORE]


@pytest.mark.parametrize(
    ("folder", "forbidden"),
    [
        ("src", ("pipelines", "benchmarks")),
        ("pipelines", ("benchmarks",)),
        ("benchmarks", ("pipelines",)),
    ],
)
def test_a_package_does_not_import_those_above_or_beside_it(
    folder: str, forbidden: tuple[str, ...]
) -> None:
    assert {*forbidden, folder} <= {*PACKAGES}
    assert not [pair for pair in imports(folder) if pair[1].split(".")[0] in forbidden]


def test_the_documentation_lists_every_room() -> None:
    packages = {path.parent.name for path in (ROOT / "src").glob("*/__init__.py")}
    assert ALLOWED.keys() == packages


@pytest.mark.parametrize("room", ALLOWED)
def test_a_room_imports_only_the_rooms_that_the_documentation_allows(room: str) -> None:
    forbidden = ALLOWED.keys() - ALLOWED[room] - {room}
    assert not [
        f"{module} imports {name}"
        for module, name in imports(f"src/{room}")
        if name in SRC and forbidden & {*name.split(".")[1:2]}
    ]


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = networkx.DiGraph([pair for pair in imports("src") if pair[1] in SRC])
    components = networkx.strongly_connected_components(graph)
    assert not [sorted(circle) for circle in components if len(circle) > 1]
