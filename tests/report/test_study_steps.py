"""A literature study's next step is one that its rows, which are not in the workspace, allow."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path

import pytest
from dvc.utils.cli_parse import to_path_overrides
from dvc.utils.hydra import apply_overrides

from src.config import BEST, PARAMS, Experiment, Params, load_params, read_yaml, validate
from src.config.presets import CONF, changed, read_preset
from src.preset import overrides
from src.report.comparison import Comparison
from src.report.steps import next_step
from src.report.summary import Summary
from tests import fabricate
from tests.shipped import SHIPPED

MINE = """\
study: {text: any, dataset: none}
seeds: 3
experiments:
  ModelA: {train: [head], batch_size: 8, epochs: 4, seeds: 2}
  ModelB: {train: [head, conv5_x], batch_size: 8, epochs: 4}
  ModelC: {train: [all], batch_size: 8, epochs: 4}
"""


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shipped settings and presets with a study more, entered."""
    monkeypatch.chdir(tmp_path)
    PARAMS.write_text((SHIPPED / PARAMS).read_text())
    BEST.parent.mkdir()
    BEST.write_text("best: {}\n")
    CONF.symlink_to(SHIPPED / CONF)
    Path("studies").mkdir()
    for path in (SHIPPED / "studies").glob("*.yaml"):
        Path("studies", path.name).symlink_to(path)
    Path("studies/mine.yaml").write_text(MINE)


def rows(study: str) -> Mapping[str, Experiment]:
    """A study's experiments."""
    return validate(Params, changed(read_yaml(PARAMS), read_preset(study)), study).experiments


def compare(
    study: str,
    *,
    test: tuple[float, ...],
    validation: tuple[float, ...],
    seeds: int = 3,
    improving: str = "",
) -> Comparison:
    """A study's rows with these accuracies, in their order."""
    experiments = rows(study)
    made = fabricate.predictions(
        fabricate.faces(), dict(zip(experiments, test, strict=True)), seeds
    )
    trained = {
        name: fabricate.trained(share, epochs=each.epochs, improving=name == improving)
        for (name, each), share in zip(experiments.items(), validation, strict=True)
    }
    return fabricate.compare(trained, made, experiments, study=study)


def settings(command: str) -> Params:
    """What `command` makes of params.yaml, as the shell and DVC read it."""
    form = r"dvc exp run --temp \$\(python -m src\.preset (\S+)\) (.+)"
    matched = re.fullmatch(form, command)
    assert matched, command
    changes = shlex.split(matched[2])
    assert {*changes[::2]} == {"-S"}
    for file, own in to_path_overrides([*overrides(matched[1]), *changes[1::2]]).items():
        apply_overrides(Path(file), own)
    return load_params()


@pytest.mark.parametrize("study", ["strategies", "mine"])
def test_a_row_that_was_still_improving_trains_longer_in_its_study(study: str) -> None:
    before = rows(study)
    last = [*before][-1]
    accuracies = tuple(0.5 for _ in before)
    found = compare(study, test=accuracies, validation=accuracies, improving=last)
    after = settings(next_step(found).command)
    assert after.study is not None
    assert after.experiments[last].epochs == 2 * before[last].epochs
    others = after.experiments.keys() - {last}
    assert {name: after.experiments[name] for name in others} == {
        name: before[name] for name in others
    }


def test_more_seeds_are_asked_for_in_every_row_of_a_study() -> None:
    found = compare("mine", test=(0.5, 0.6, 0.7), validation=(0.5, 0.6, 0.7), seeds=1)
    after = settings(next_step(found).command)
    assert after.study is not None
    assert [after.seeds_of(name) for name in rows("mine")] == [(0, 1, 2, 3, 4)] * 3


@pytest.mark.parametrize(
    ("test", "validation", "said"),
    [
        ((0.3, 0.3, 0.9), (0.3, 0.3, 0.9), "as sure as these images allow. Use ModelC."),
        ((0.9, 0.3, 0.3), (0.9, 0.3, 0.3), "as sure as these images allow. Use ModelA."),
        ((0.5, 0.3, 0.55), (0.3, 0.3, 0.9), "too few to tell ModelC from ModelA."),
        ((0.9, 0.3, 0.3), (0.3, 0.3, 0.9), "disagree about ModelC and ModelA."),
    ],
)
def test_a_step_that_only_the_workspaces_rows_could_take_has_no_command_in_a_study(
    test: tuple[float, ...], validation: tuple[float, ...], said: str
) -> None:
    step = next_step(compare("mine", test=test, validation=validation))
    assert said in step.says
    assert step.command == "" and not step.says.endswith(":")


def test_the_summary_of_a_study_names_the_page_that_stays_and_the_step() -> None:
    accuracies = (0.3, 0.3, 0.9)
    summary = Summary.of(compare("mine", test=accuracies, validation=accuracies))
    summary.write()
    settings("dvc exp run --temp $(python -m src.preset mine) -S seed=0")
    page, _, step = Summary.read(load_params()).next_steps()
    assert page.startswith("open reports/study-mine.html, which `make study` writes: ")
    assert step == "The answer is as sure as these images allow. Use ModelC."
