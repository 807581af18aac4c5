"""The benchmarks' commands have help, and examples whose options exist."""

from __future__ import annotations

import importlib
import pkgutil
import re
import shlex
from pathlib import Path
from types import ModuleType

import pytest

import benchmarks
from benchmarks import libraries, serving, significance, startup
from src.errors import ConfigError
from tests.shipped import SHIPPED

MODULES = [
    importlib.import_module(f"benchmarks.{found.name}" + ".__main__" * found.ispkg)
    for found in pkgutil.iter_modules(benchmarks.__path__)
]
BENCHMARKS = {
    module.__name__.removesuffix(".__main__"): module
    for module in MODULES
    if hasattr(module, "main")
}
WITHOUT_PARAMS = (libraries, serving, significance, startup)
DOCUMENTED = [
    line
    for text in (
        (SHIPPED / "docs/performance.md").read_text(encoding="utf-8"),
        (SHIPPED / "docs/tuning.md").read_text(encoding="utf-8"),
        (SHIPPED / "docs/labels.md").read_text(encoding="utf-8"),
        *(module.EXAMPLES for module in BENCHMARKS.values() if module not in WITHOUT_PARAMS),
    )
    for line in re.findall(r"^\s*python -m (benchmarks\..*)$", text, re.MULTILINE)
]


@pytest.mark.parametrize("command", DOCUMENTED)
def test_every_documented_command_has_options_that_exist(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a folder without params.yaml, so that it stops once its options are read."""
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    name, *options = shlex.split(command, comments=True)
    with pytest.raises(ConfigError, match=r"params\.yaml"):
        BENCHMARKS[name].main(options)


@pytest.mark.parametrize("module", WITHOUT_PARAMS, ids=lambda module: module.__name__)
def test_a_benchmark_that_reads_no_params_documents_options_that_exist(
    module: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    commands = re.findall(rf"python -m {module.__name__}(.*)$", module.EXAMPLES, re.MULTILINE)
    assert len(commands) == 2
    for command in commands:
        with pytest.raises(SystemExit, match="2"):
            module.main([*shlex.split(command), "--unknown"])
        assert capsys.readouterr().err.endswith("unrecognized arguments: --unknown\n")


@pytest.mark.long
def test_a_stage_is_timed_to_its_end_and_leaves_nothing_here(project: Path) -> None:
    before = sorted(Path().rglob("*"))
    found = startup.time_command(["pipelines.train", "Baseline"], [startup.ROOT], repeats=1)
    assert found.seconds > 0.5, "longer than an interpreter alone"
    assert found.other_seconds is None
    assert sorted(Path().rglob("*")) == before


@pytest.mark.parametrize(("name", "module"), BENCHMARKS.items(), ids=BENCHMARKS)
def test_every_benchmark_has_help_with_examples(
    name: str, module: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="0"):
        module.main(["--help"])
    assert f"python -m {name}" in capsys.readouterr().out.split("examples:")[1]
    assert name in str(benchmarks.__doc__)
