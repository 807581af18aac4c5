"""What a module runs with is found in its source, and a change of any of it changes the digest."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from src import closure
from src.closure import code_digest, import_closure

MODULES = {
    "src/__init__.py": "",
    "src/top.py": "from src.low import value\ndef later():\n    import src.lazy\n",
    "src/low.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import src.typed\n"
    "else:\n    import src.other\nvalue = 1\n",
    "src/lazy.py": "from src import deep\n",
    "src/deep/__init__.py": "import json\n",
    "src/typed.py": "",
    "src/other.py": "",
    "src/apart.py": "",
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of a few modules, in which closures are looked for."""
    for name, text in MODULES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(closure, "ROOT", tmp_path)
    return tmp_path


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """No closure of another project is remembered, before or after."""
    import_closure.cache_clear()
    code_digest.cache_clear()
    yield
    import_closure.cache_clear()
    code_digest.cache_clear()


def test_lazy_imports_and_packages_count_and_those_for_type_checkers_do_not(project: Path) -> None:
    found = {path.as_posix() for path in import_closure("src.top")}
    assert found == set(MODULES) - {"src/typed.py", "src/apart.py"}


@pytest.mark.parametrize(
    ("changed", "matters"), [("src/deep/__init__.py", True), ("src/apart.py", False)]
)
def test_a_change_in_the_closure_and_no_other_changes_the_digest(
    project: Path, changed: str, matters: bool
) -> None:
    before = code_digest("src.top")
    (project / changed).write_text("changed = True\n")
    code_digest.cache_clear()
    assert (code_digest("src.top") != before) == matters


def test_the_closure_holds_every_module_that_running_the_code_really_imports() -> None:
    program = "import sys, src.training.engine; print(*(m for m in sys.modules if m[:4] == 'src.'))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=closure.ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    files = {path.with_suffix("").as_posix() for path in import_closure("src.training.engine")}
    named = {file.removesuffix("/__init__").replace("/", ".") for file in files}
    assert "src.training.heads" in done.stdout.split()
    assert named >= {*done.stdout.split()}
