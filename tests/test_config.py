"""params.yaml: what is taken, and that what is wrong is said on one line, naming the key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.config import BEST, BEST_NAME, PARAMS, Head, Params, load_params, read_yaml, validate
from src.errors import ConfigError, UserError
from tests.shipped import SHIPPED

ROOT = Path(__file__).parents[1]
RAW = read_yaml(SHIPPED / PARAMS)


def changed(path: str, value: object) -> dict[str, Any]:
    """params.yaml as shipped, with one key of another value."""
    result: dict[str, Any] = read_yaml(SHIPPED / PARAMS)
    section = result
    *sections, key = path.split(".")
    for name in sections:
        section = section[name]
    section[key] = value
    return result


def test_the_shipped_file_is_valid_and_holds_the_ten_experiments() -> None:
    params = load_params(SHIPPED / PARAMS)
    published = (ROOT / "src/evaluation/published").glob("*table*.csv")
    names = [line.split(",")[0] for line in next(published).read_text().splitlines()[1:]]
    assert [name for name in params.experiments if name in names] == names
    assert len(names) == 10


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("epochs", 3, "epochs is not a known key"),
        ("experiments.ModelA.epoch", 3, "experiments.ModelA.epoch is not a known key"),
        ("tune.storage", "postgresql://me:secret@h/s", "OPTUNA_STORAGE"),
        ("tune.storage", "postgresql://h/s?user=me&password=secret", "OPTUNA_STORAGE"),
        ("seed", "0", "seed: Input should be a valid integer (got '0')"),
        ("experiments.ModelA.epochs", 0, "experiments.ModelA.epochs"),
        ("experiments.ModelA.epochs", 2.5, "experiments.ModelA.epochs"),
        ("recipes.tuned.learning_rate", -0.001, "greater than 0 (got -0.001)"),
        ("recipes.tuned.learning_rate", float("nan"), "recipes.tuned.learning_rate"),
        ("data.val_fraction", 1.0, "less than 1 (got 1.0)"),
        ("data.max_pixels", 178_956_971, "less than or equal to 178956970"),
        ("weights", "imagenet", "weights"),
        ("weights.origin", "", "weights.origin"),
        ("data.origin", "", "data.origin"),
        ("unknown.origin", "", "unknown.origin"),
        ("recipe", "best", "recipe is 'best', which is not under recipes"),
        ("experiments.ModelA.train", ["head", "conv9_x"], "conv5_x"),
        ("experiments.ModelA.train", ["conv5_x"], "a new head must train"),
        ("experiments.ModelA.train", [], "at least 1 item"),
        ("experiments.ModelD-256-128.head.dropout", [0.5], "1 dropout rates for 2 hidden layers"),
        ("experiments.ModelD-256-128.head.dropout", [0.5, 1.0], "less than 1"),
        ("experiments.ModelD-256-128.head.hidden", ["a", 2], "valid integer"),
        ("experiments.ModelA.multipliers", {"head": 0}, "experiments.ModelA: its multipliers"),
        ("experiments.ModelC.multipliers", {"base": 0, "head": 0}, "a new head must train"),
        (
            "experiments.ModelA.unfreeze_at",
            {"conv5_x": 99},
            "conv5_x begins to train in epoch 99",
        ),
        (
            "experiments.ModelC.unfreeze_at",
            {"base": 99},
            "ModelC: by unfreeze_at conv1",
        ),
        ("recipes.tuned.unfreeze_at", {"base": 99}, "give an earlier one, or more epochs"),
        (
            "experiments.ModelA.freeze_at",
            {"conv5_x": 1},
            "ModelA: by freeze_at conv5_x is frozen in epoch 1, but begins to train in epoch 1",
        ),
        (
            "experiments.source",
            {"train": ["head"], "batch_size": 8, "epochs": 1},
            "are the source weights; rename",
        ),
        ("recipes.tuned.multipliers", {"head": 0}, "experiments.Baseline: its multipliers"),
        ("recipes.tuned.multipliers", {"head": 1e-322}, "experiments.Baseline: its multipliers"),
        ("model", None, "model"),
    ],
)
def test_a_wrong_value_is_refused_on_one_line_that_names_it(
    path: str, value: object, said: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        validate(Params, changed(path, value), "params.yaml")
    assert said in str(caught.value)
    assert str(caught.value).startswith("params.yaml: ")
    assert "\n" not in str(caught.value)


def test_a_warm_up_that_outlasts_a_training_is_refused_where_the_schedule_has_one() -> None:
    raw = changed("recipes.tuned.warmup_epochs", 4.0)
    assert validate(Params, raw, "params.yaml").recipe_of("ModelB").warmup == 0, "one-cycle"
    raw["recipes"]["tuned"]["schedule"] = "cosine"
    with pytest.raises(ConfigError, match=r"ModelB: its recipe's warmup_epochs, 4, are not less"):
        validate(Params, raw, "params.yaml")
    svm = {"train": ["head"], "head": {"kind": "svm"}, "batch_size": 8, "epochs": 1}
    raw["experiments"] = {"SVM": svm}
    assert validate(Params, raw, "params.yaml").experiment("SVM").epochs == 1, "it has no schedule"


def test_what_freezes_all_but_the_head_is_taken() -> None:
    raw = changed("experiments.ModelC.multipliers", {"base": 0})
    raw["experiments"]["ModelA"]["multipliers"] = {"conv5_x": 0}
    raw["recipes"]["unused"] = raw["recipes"]["tuned"] | {"multipliers": {"head": 0}}
    assert validate(Params, raw, "params.yaml").recipe_of("ModelC").head_rate == 0.001


def test_scientific_notation_is_a_number_as_it_is_for_dvc(tmp_path: Path) -> None:
    (tmp_path / "rate.yaml").write_text("rate: 1e-3\n")
    assert read_yaml(tmp_path / "rate.yaml") == {"rate": 0.001}


@pytest.mark.parametrize("text", ["a: [1", "a: 1\na: 2\n", "\x00", "a: *b"])
def test_a_file_that_is_not_yaml_is_refused_with_its_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"params\.yaml") as caught:
        load_params(tmp_path / "params.yaml")
    assert "\n" not in str(caught.value)


def test_an_experiment_of_the_searchs_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / BEST).parent.mkdir()
    (tmp_path / BEST).write_text("best: {}\n")
    text = (SHIPPED / PARAMS).read_text()
    (tmp_path / PARAMS).write_text(text.replace("  ModelA:", f"  {BEST_NAME}:"))
    with pytest.raises(ConfigError, match="give it another name"):
        load_params(tmp_path / PARAMS)


def test_an_experiments_own_rate_takes_the_place_of_its_recipes() -> None:
    params = validate(Params, changed("experiments.ModelA.learning_rate", 0.5), "params.yaml")
    assert params.recipe_of("ModelA").learning_rate == 0.5
    assert params.recipe_of("ModelB").learning_rate != 0.5


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@given(raw=json_values)
def test_whatever_a_file_holds_it_is_params_or_one_line(raw: object) -> None:
    try:
        validate(Params, raw, "params.yaml")
    except UserError as error:
        assert "\n" not in str(error)


@given(
    hidden=st.lists(st.integers(1, 4096), max_size=4),
    rates=st.lists(st.floats(0, 0.99), max_size=4),
)
def test_a_head_has_a_rate_for_every_layer_or_is_refused(
    hidden: list[int], rates: list[float]
) -> None:
    raw = {"hidden": hidden, "dropout": rates}
    if len(rates) in (0, len(hidden)):
        assert len(validate(Head, raw, "head").rates) == len(hidden)
    else:
        with pytest.raises(ConfigError):
            validate(Head, raw, "head")
