"""The start of commands: both checkouts do the same work, and what fails is named."""

from __future__ import annotations

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from benchmarks import startup
from src.config import PARAMS, Params, read_yaml, validate
from src.errors import ConfigError
from tests.shipped import SHIPPED

BETWEEN = {"unfreeze_at": {"conv5_x": 1, "base": 3}, "freeze_at": {"base": 5}}


def test_both_checkouts_train_one_seed_in_batches_of_one_size(tmp_path: Path) -> None:
    params = read_yaml(SHIPPED / PARAMS)
    params["experiments"]["ModelC"] |= BETWEEN
    params["recipes"]["tuned"] |= BETWEEN
    older = read_yaml(SHIPPED / PARAMS)
    del older["seeds"], older["unknown"]
    older["experiments"]["Baseline"] |= {"batch_size": 64, "epochs": 100}
    found = []
    for name, raw in (("here", params), ("older", older)):
        (tmp_path / name).mkdir()
        YAML().dump(raw, tmp_path / name / PARAMS)
        settings = validate(Params, startup.settings(tmp_path / name), name)
        assert settings.seeds_of("ModelA") == (0,)
        found.append(settings.experiments)
    assert found[0] == found[1]
    assert {each.epochs for each in found[0].values()} == {1}


@pytest.mark.usefixtures("project")
def test_a_command_that_fails_is_named_without_a_traceback() -> None:
    with pytest.raises(ConfigError, match=r"src\.preset nosuch: failed with the code of"):
        startup.run_command(["src.preset", "nosuch"], startup.ROOT)
