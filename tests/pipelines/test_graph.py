"""dvc.yaml declares all code that a stage may run and every parameter that it reads."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from src.closure import ROOT, import_closure
from src.config import Params
from tests.pipelines.stages import is_code, stages
from tests.shipped import SHIPPED

STAGES = stages(SHIPPED / "dvc.yaml")
HARMLESS = {  # where features lie and what MLflow is told, not what results are
    "engine.cache_fraction",
    "engine.cache_limit",
    "tracking.gate",
    "tracking.offline",
}


def module(stage: str) -> str:
    """The module that a stage runs: of `python -m pipelines.train ${key}`, pipelines.train."""
    return STAGES[stage]["cmd"].split()[2]


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_declares_all_code_that_it_may_run(stage: str) -> None:
    declared = [Path(dep) for dep in STAGES[stage]["deps"]]
    closure = [path for path in import_closure(module(stage)) if is_code(path)]
    missing = [p.as_posix() for p in closure if not any(p.is_relative_to(d) for d in declared)]
    assert not missing


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_declares_no_code_that_it_never_runs(stage: str) -> None:
    closure = import_closure(module(stage))
    code = [Path(dep) for dep in STAGES[stage]["deps"] if dep.startswith(("src/", "pipelines/"))]
    assert not [dep for dep in code if not any(path.is_relative_to(dep) for path in closure)]


@pytest.mark.parametrize("stage", sorted(STAGES.keys() - {"report"}))
def test_a_change_of_the_report_reruns_the_report_alone(stage: str) -> None:
    assert not [dep for dep in STAGES[stage]["deps"] if dep.startswith("src/report")]


def parameters_read(stage: str) -> set[str]:
    """Keys such as `data.fit` that the stage's code takes from an object called `params`."""
    found = set()
    for path in import_closure(module(stage)):
        nodes = [*ast.walk(ast.parse((ROOT / path).read_bytes()))]
        narrowed = {id(n.value) for n in nodes if isinstance(n, ast.Attribute) and _key(n)}
        found |= {key for node in nodes if id(node) not in narrowed and (key := _key(node))}
    return found


def _key(node: ast.AST) -> str | None:
    """`data.fit` of the expression `params.data.fit`, `seed` of `job.params.seed`."""
    if not isinstance(node, ast.Attribute):
        return None
    if isinstance(node.value, ast.Attribute) and (section := _key(node.value)):
        field = getattr(Params.model_fields.get(section), "annotation", None)
        return f"{section}.{node.attr}" if node.attr in getattr(field, "model_fields", ()) else None
    owner = getattr(node.value, "attr", getattr(node.value, "id", None))
    return node.attr if owner == "params" and node.attr in Params.model_fields else None


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_declares_every_parameter_that_it_reads(stage: str) -> None:
    declared = {key for key in STAGES[stage]["params"] if isinstance(key, str)}
    covered = declared | {key.split(".${", 1)[0] for key in declared} | HARMLESS
    if stage == "train-best":
        covered |= {"experiments"}  # its own comes from tune/best.yaml
    missing = [
        key
        for key in parameters_read(stage)
        if not any(key == each or key.startswith(f"{each}.") for each in covered)
    ]
    assert not missing


@pytest.mark.parametrize("stage", ["evaluate", "report", "register"])
def test_what_a_search_found_is_a_parameter_of_whoever_takes_it_for_an_experiment(
    stage: str,
) -> None:
    assert "experiments" in STAGES[stage]["params"]
    assert {"tune/best.yaml": ["best"]} in STAGES[stage]["params"]
