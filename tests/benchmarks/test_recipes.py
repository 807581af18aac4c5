"""Two presets are compared in time and accuracy, seed by seed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import recipes
from src.errors import ConfigError

pytestmark = pytest.mark.usefixtures("project")


@pytest.fixture
def presets(project: Path) -> None:
    """`short` trains for half of the epochs of `long`, by a recipe of its own."""
    (project / "conf").mkdir()
    (project / "conf/long.yaml").write_text(
        "experiments: {Baseline: {epochs: 6}, ModelC: {epochs: 4}}\n", encoding="utf-8"
    )
    fast = "{optimizer: sgd, learning_rate: 0.01, batchnorm: freeze, normalize: true, flip: false, "
    (project / "conf/short.yaml").write_text(
        f"recipe: fast\nrecipes:\n  fast: {fast}select: last}}\n"
        "experiments: {Baseline: {epochs: 3, batch_size: 4}, ModelC: {epochs: 2}}\n",
        encoding="utf-8",
    )


@pytest.mark.long
@pytest.mark.usefixtures("presets")
def test_each_seed_is_trained_by_both_presets_and_by_the_plain_loop(
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = ["short", "long", "--experiment", "Baseline", "ModelC", "--seeds", "2"]
    recipes.main([*options, "--plain-epochs", "2", "--json"])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each["experiment"] for each in lines] == ["Baseline", "ModelC"]
    assert [each["epochs"] for each in lines] == [[3, 6], [2, 4]]
    for found in lines:
        assert len(found["trainings"]) == len(found["others"]) == 2
        assert len(found["plain_seconds"]) == 1, "of the first seed alone"
        for number, name in enumerate(("trainings", "others")):
            for training in found[name]:
                seconds, accuracies = zip(*training["validation"], strict=True)
                assert len(seconds) == found["epochs"][number]
                assert list(seconds) == sorted(seconds) and seconds[-1] <= training["seconds"]
                chosen = max(accuracies) if name == "others" else accuracies[-1]
                assert training["val_accuracy"] == chosen
        last = [training["validation"][-1][1] for training in found["others"]]
        assert found["goal"] == pytest.approx(sum(last) / 2)


@pytest.mark.long
@pytest.mark.usefixtures("presets")
def test_a_preset_beside_itself_is_as_accurate_and_reaches_its_own_goal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    recipes.main(["long", "long", "--experiment", "Baseline", "--seeds", "2", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["test"]["accuracies"] == found["test"]["reference_accuracies"]
    assert found["goal_seconds"] is not None
    recipes.main(["long", "long", "--experiment", "Baseline", "--seeds", "2"])
    printed = capsys.readouterr().out
    assert "long: " in printed and "reaches within" in printed and "plain loop" not in printed


def test_the_goal_is_reached_after_the_first_epoch_whose_mean_is_high_enough() -> None:
    one = recipes.Training(3.0, ((1.0, 0.5), (2.0, 0.8), (3.0, 0.8)), 0.8, 0.7)
    other = recipes.Training(6.0, ((2.0, 0.5), (4.0, 0.6), (6.0, 0.9)), 0.9, 0.7)
    assert recipes.reached([one, other], 0.5) == 1.5
    assert recipes.reached([one, other], 0.7) == 3.0
    assert recipes.reached([one, other], 0.85) == 4.5
    assert recipes.reached([one, other], 0.86) is None
    shorter = replace(other, validation=other.validation[:2])
    for trainings in ([one, shorter], [shorter, one]):
        assert recipes.reached(trainings, 0.7) == 3.0
        assert recipes.reached(trainings, 0.85) is None, "of one seed nothing more is known"


@pytest.mark.usefixtures("presets")
def test_a_preset_or_experiment_that_is_missing_is_named() -> None:
    with pytest.raises(ConfigError, match=r"preset 'none': no such file"):
        recipes.main(["short", "none", "--experiment", "Baseline"])
    with pytest.raises(ConfigError, match="no 'ModelZ'"):
        recipes.main(["short", "long", "--experiment", "ModelZ"])
