"""A worker that has nothing to share with others says so on one line; tests/faults has the rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from src.config import BEST_NAME, PARAMS, read_yaml, training_stage
from src.errors import ConfigError, StaleInputError, TuneError
from src.files import write_text
from src.worker import check_remote, key, main
from tests.shipped import SHIPPED


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with the shipped params.yaml and no storage in the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPTUNA_STORAGE", raising=False)
    write_text(PARAMS, (SHIPPED / PARAMS).read_text(encoding="utf-8"))
    return tmp_path


def test_a_database_that_is_a_file_is_refused() -> None:
    with pytest.raises(TuneError, match="claims need a PostgreSQL database"):
        main([])


def test_a_database_without_a_driver_here_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPTUNA_STORAGE", "postgresql+asyncpg://me@localhost/studies")
    with pytest.raises(TuneError, match="its driver is not installed"):
        main([])


def test_an_experiment_that_there_is_not_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="ModelX"):
        main(["ModelX"])


def test_a_project_without_a_remote_is_refused(here: Path) -> None:
    with pytest.raises(StaleInputError, match="run from the project's folder"):
        check_remote()
    for file in (".dvc/config", ".dvc/.gitignore"):
        write_text(here / file, "[core]\n    no_scm = true\n" if file.endswith("config") else "")
    with pytest.raises(StaleInputError, match="no default remote"):
        check_remote()
    write_text(here / ".dvc/config", "[core]\n    no_scm = true\n    remote = shared\n")
    check_remote()


def test_what_a_search_found_is_trained_by_its_own_stage() -> None:
    declared = read_yaml(SHIPPED / "dvc.yaml")["stages"]
    assert [training_stage(name) for name in ("ModelA", BEST_NAME)] == [
        "train@ModelA",
        f"train-best@{BEST_NAME}",
    ]
    assert declared["train"]["foreach"] == "${experiments}"
    assert declared["train-best"]["foreach"] == "${best}"


def test_a_claim_is_of_a_stage_with_its_settings() -> None:
    before = key("train@ModelA")
    assert before == key("train@ModelA") != key("train@ModelB")
    assert -(2**63) <= before < 2**63
    write_text(PARAMS, PARAMS.read_text(encoding="utf-8").replace("seeds: 5", "seeds: 4"))
    assert key("train@ModelA") != before
