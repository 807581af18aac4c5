"""Options of the benchmarks: what they change is valid, and what cannot be measured is refused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import pytest

from benchmarks import (
    compiler,
    convolutions,
    engine,
    gpu,
    heads,
    scaling,
    significance,
    table,
    tuning,
)
from benchmarks.options import shortened, with_changes
from src.config import Params, validate
from src.errors import ConfigError
from src.training.device import Compute
from src.training.job import make_features
from tests.benchmarks.projects import change_params, job_of


@pytest.fixture
def late(project: Path) -> Params:
    """ModelC trains all of its blocks only in its second epoch of two."""
    own = {"unfreeze_at": {"base": 2}, "freeze_at": {"base": 3}}
    return change_params(project, {"experiments": {"ModelC": own}})


def test_a_change_that_other_settings_forbid_is_refused_on_one_line(late: Params) -> None:
    assert with_changes(late, "ModelA") == late
    assert with_changes(late, "ModelC", 3).experiments["ModelC"].epochs == 3
    with pytest.raises(ConfigError, match=r"ModelC: by unfreeze_at \w+ begins to train in epoch 2"):
        with_changes(late, "ModelC", 1)
    with pytest.raises(ConfigError, match="'nosuch', which is not under recipes"):
        with_changes(late, "ModelA", recipe="nosuch")


def test_a_shortened_experiment_trains_all_of_its_blocks_by_its_last_epoch(late: Params) -> None:
    short = shortened(late, "ModelC", 1)
    assert short.experiments["ModelC"].epochs == 1
    assert short.recipe_of("ModelC").first_epoch("conv1") == 1
    validate(Params, short.model_dump(mode="json"), "shortened")
    assert shortened(late, "Baseline", 50).experiments["Baseline"].epochs == 3, "its own"


@pytest.mark.usefixtures("late")
def test_epochs_that_differ_in_what_trains_are_not_projected() -> None:
    options = ["--experiment", "ModelC", "--images", "16"]
    with pytest.raises(ConfigError, match=r"ModelC: its later .* leave out --measured-epochs"):
        scaling.main([*options, "--measured-epochs", "1"])
    with pytest.raises(ConfigError, match="by unfreeze_at"):
        scaling.main([*options, "--epochs", "1"])


@pytest.mark.parametrize(
    ("module", "options", "said"),
    [
        (gpu, ["--images", "2"], "at least 3"),
        (heads, ["--hidden", "64"], "needs --experiment"),
        (tuning, ["speed", "--plain-epochs", "1"], "at least 2"),
        (tuning, ["speed", "--storage", "sqlite:///mine.db"], "a temporary file"),
        (tuning, ["quality", "--study", "mine"], "a temporary file"),
        (significance, ["--seeds", "0,3"], "at least 2"),
        (significance, ["--seeds", "3"], "not two numbers"),
        (significance, ["--deviations", "1,-1"], "from 0 to 20"),
    ],
)
@pytest.mark.usefixtures("project")
def test_an_option_that_would_measure_something_else_is_refused(
    module: ModuleType, options: Sequence[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        module.main(options)
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("module", "options"),
    [
        (table, ["--experiment", "Baseline"]),
        (heads, ["--experiment", "Baseline"]),
        (convolutions, ["--experiment", "ModelA"]),
        (compiler, ["--experiment", "ModelA", "--layouts"]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_the_processor_has_slowed_down_before_anything_is_timed(
    module: ModuleType,
    options: Sequence[str],
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    class WarmingUp(Exception):  # noqa: N818 - no error
        pass

    def warm_up(_compute: Compute) -> None:
        raise WarmingUp

    make_features(job_of("Baseline", project)).save(project / "data/features.safetensors")
    monkeypatch.setattr(engine, "warm_up", warm_up)
    with pytest.raises(WarmingUp):
        module.main(options)
    assert capsys.readouterr().out == ""
