"""Presets: every one of conf/ fits params.yaml, and says so in arguments that DVC takes."""

from __future__ import annotations

from pathlib import Path

import pytest
from dvc.utils.hydra import apply_overrides

from src.config import PARAMS, load_params, read_yaml
from src.errors import ConfigError
from src.preset import FOLDER, merged, overrides

ROOT = Path(__file__).parents[1]
PRESETS = sorted(path.stem for path in (ROOT / FOLDER).glob("*.yaml"))


@pytest.fixture(autouse=True)
def in_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize("name", PRESETS)
def test_dvc_writes_what_the_preset_says(name: str, tmp_path: Path) -> None:
    path = tmp_path / PARAMS
    path.write_text(PARAMS.read_text())
    apply_overrides(path, overrides(name))
    expected = merged(read_yaml(PARAMS), read_yaml(FOLDER / f"{name}.yaml"))
    assert read_yaml(path) == expected
    load_params(path)
    assert "# Every tunable" in path.read_text()


@pytest.mark.parametrize("name", PRESETS)
def test_arguments_survive_a_shell_unquoted(name: str) -> None:
    assert not any(character in pair for pair in overrides(name) for character in " '\"$*?;&|<>")


def test_the_reference_preset_trains_as_the_published_table_says() -> None:
    table = next((ROOT / "src/evaluation/published").glob("*table*.csv")).read_text().splitlines()
    columns = table[0].split(",")
    experiments = read_yaml(FOLDER / "reference.yaml")["experiments"]
    for line in table[1:]:
        row = dict(zip(columns, line.split(","), strict=True))
        assert experiments[row["experiment"]]["epochs"] == int(row["epochs"])
        assert experiments[row["experiment"]]["batch_size"] == int(row["batch_size"])


@pytest.mark.parametrize("name", ["reference", "small-reference", "small-tuned"])
def test_a_preset_of_one_recipe_leaves_no_experiment_a_rate_of_its_own(name: str) -> None:
    changed = merged(read_yaml(PARAMS), read_yaml(FOLDER / f"{name}.yaml"))
    for experiment in changed["experiments"].values():
        assert experiment.get("learning_rate") is None


def test_an_unknown_preset_is_answered_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match="smoke"):
        overrides("nothing")
