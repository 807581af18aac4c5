"""Presets: every one of conf/ fits params.yaml, and says so in arguments that DVC takes."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from dvc.utils.cli_parse import to_path_overrides
from dvc.utils.hydra import apply_overrides

from src.config import BEST, PARAMS, Params, load_params, read_yaml, validate
from src.config.presets import CONF, STUDIES, changed, read_preset
from src.data.origins import open_origin
from src.errors import ConfigError
from src.preset import main, overrides
from tests.pipeline.repository import Repository
from tests.shipped import PRESETS, ROOT, SHIPPED, STUDY_NAMES


@pytest.fixture(autouse=True)
def in_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(SHIPPED)


@pytest.mark.parametrize("name", PRESETS)
def test_dvc_writes_what_the_preset_says(name: str, tmp_path: Path) -> None:
    path = tmp_path / PARAMS
    path.write_text(PARAMS.read_text())
    best = tmp_path / BEST
    best.parent.mkdir()
    best.write_text("best: {Found: {train: [head], batch_size: 8, epochs: 1}}\n")
    for file, changes in to_path_overrides(overrides(name)).items():
        apply_overrides(tmp_path / file, changes)
    assert ("Found" in read_yaml(best)["best"]) == (name not in STUDY_NAMES)
    expected = changed(read_yaml(PARAMS), read_preset(name))
    if name in STUDY_NAMES:
        expected["study"] = name
    assert read_yaml(path) == expected
    (tmp_path / STUDIES).symlink_to(SHIPPED / STUDIES)
    assert (load_params(path).study is None) == (name not in STUDY_NAMES)
    assert "# The settings of the default run." in path.read_text()


@pytest.mark.parametrize("name", PRESETS)
def test_arguments_survive_a_shell_unquoted(name: str) -> None:
    assert not any(character in pair for pair in overrides(name) for character in " '\"$*?;&|<>")


def own_preset(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """A folder with the shipped params.yaml and a preset `own`."""
    (folder / PARAMS).write_text(PARAMS.read_text())
    (folder / "conf").mkdir()
    (folder / "conf" / "own.yaml").write_text(text)
    monkeypatch.chdir(folder)


@pytest.mark.parametrize("text", ["12", "null", "on-1", "Smith,John", 'say "so"', "inf"])
def test_text_that_hydra_would_read_as_something_else_stays_text(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    patterns = [text.replace(" ", "_"), "other"]
    classes = json.dumps({"one": patterns[:1], "two": patterns[1:]})
    own_preset(tmp_path, monkeypatch, f"data: {{classes: {classes}}}\n")
    for file, changes in to_path_overrides(overrides("own")).items():
        apply_overrides(tmp_path / file, changes)
    assert read_yaml(PARAMS)["data"]["classes"]["one"] == patterns[:1]


@pytest.mark.parametrize("text", ["George W Bush", "B*", "B?b"])
def test_text_that_a_shell_would_change_is_refused(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_preset(tmp_path, monkeypatch, f'data: {{classes: {{one: ["{text}"], two: [x]}}}}\n')
    with pytest.raises(ConfigError, match=r"spaces or wildcards; write it into params\.yaml"):
        overrides("own")


def test_a_fault_of_the_settings_is_not_laid_at_the_presets_door(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_preset(tmp_path, monkeypatch, "seeds: 2\n")
    PARAMS.write_text(PARAMS.read_text().replace("device: auto", "device: gpu"))
    with pytest.raises(ConfigError, match=r"^params\.yaml: engine\.device"):
        overrides("own")


def test_the_reference_preset_trains_as_the_published_table_says() -> None:
    table = (
        next((SHIPPED / "src/evaluation/published").glob("*table*.csv")).read_text().splitlines()
    )
    columns = table[0].split(",")
    experiments = read_preset("reference")["experiments"]
    for line in table[1:]:
        row = dict(zip(columns, line.split(","), strict=True))
        assert experiments[row["experiment"]]["epochs"] == int(row["epochs"])
        assert experiments[row["experiment"]]["batch_size"] == int(row["batch_size"])


@pytest.mark.parametrize("name", ["reference", "small-reference", "small-tuned"])
def test_a_preset_of_one_recipe_leaves_no_experiment_a_rate_of_its_own(name: str) -> None:
    experiments = changed(read_yaml(PARAMS), read_preset(name))["experiments"]
    for experiment in experiments.values():
        assert experiment.get("learning_rate") is None


@pytest.mark.parametrize("before", ["small-fast", "reference", "seeds"])
@pytest.mark.parametrize("name", ["reference", "small-reference", "small-tuned", "small-fast"])
def test_a_preset_trains_the_same_whichever_was_applied_before(before: str, name: str) -> None:
    raw = read_yaml(PARAMS)
    alone = validate(Params, changed(raw, read_preset(name)), name)
    both = validate(Params, changed(changed(raw, read_preset(before)), read_preset(name)), name)
    assert (both.recipe, both.seeds) == (alone.recipe, alone.seeds)
    for row in both.experiments:
        assert both.experiments[row] == alone.experiments[row]
        assert both.recipe_of(row) == alone.recipe_of(row)


def project(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes the working directory one that presets can be applied in, as `dvc exp run` does."""
    monkeypatch.chdir(folder)
    PARAMS.write_text((SHIPPED / PARAMS).read_text())
    BEST.parent.mkdir()
    BEST.write_text("best: {}\n")
    for name in (CONF, STUDIES):
        name.symlink_to(SHIPPED / name)

    def apply(name: str) -> None:
        for file, changes in to_path_overrides(overrides(name)).items():
            apply_overrides(Path(file), changes)

    return apply


@pytest.mark.parametrize("before", ["small-fast", "smoke", "reference", "seeds", "strategies"])
@pytest.mark.parametrize("name", PRESETS)
def test_dvc_takes_a_preset_after_another_or_itself(
    before: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply = project(tmp_path, monkeypatch)
    apply(before)
    expected = changed(read_yaml(PARAMS), read_preset(name))
    rows = read_yaml(PARAMS)["experiments"]
    given = read_preset(name).get("experiments", {}).items()
    missing = [row for row, entry in given if entry and "train" not in entry and row not in rows]
    if missing:  # the one before has removed them
        with pytest.raises(ConfigError, match="|".join(missing)):
            apply(name)
        return
    apply(name)
    if name in STUDY_NAMES:
        expected["study"] = name
    assert read_yaml(PARAMS) == expected
    load_params()


def test_blocks_whose_names_have_dots_stay_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply = project(tmp_path, monkeypatch)
    CONF.unlink()
    CONF.mkdir()
    (CONF / "mine.yaml").write_text(
        "model: {backbone: mobilenet_v2, stem: standard}\n"
        "recipes: {tuned: {multipliers: {features.18: 0.5, head: 2.0}}}\n"
        "experiments: {ModelA: null, ModelB: null}\n"
    )
    expected = changed(read_yaml(PARAMS), read_preset("mine"))
    apply("mine")
    assert read_yaml(PARAMS) == expected
    assert load_params().recipes["tuned"].multipliers["features.18"] == 0.5


def test_a_preset_may_follow_a_literature_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project(tmp_path, monkeypatch)("strategies")
    assert overrides("tune-mission")


def test_the_smoke_preset_may_follow_one_that_unfreezes_later() -> None:
    raw = changed(read_yaml(PARAMS), read_preset("small-fast"))
    params = validate(Params, changed(raw, read_preset("smoke")), "smoke")
    assert params.experiments["ModelC"].epochs == 2
    assert not params.recipe_of("ModelC").unfreeze_at


def test_an_unknown_preset_is_answered_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match="smoke"):
        overrides("nothing")


@pytest.fixture(scope="module")
def touching(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A repository with the presets, whose only stage makes the file `ran`."""
    made = Repository(tmp_path_factory.mktemp("touching"))
    (made.folder / PARAMS).write_text((SHIPPED / PARAMS).read_text())
    (made.folder / CONF).symlink_to(SHIPPED / CONF)
    (made.folder / "dvc.yaml").write_text(
        "stages: {touch: {cmd: touch ran, params: [seed], outs: [ran]}}\n"
    )
    made.run("git", "init", "-q")
    made.name_author()
    made.run("dvc", "init", "-q")
    made.commit("Start")
    made.environment["PYTHONPATH"] = str(ROOT)
    return made


@pytest.mark.pipeline
@pytest.mark.parametrize("where", ["", "--temp"])
@pytest.mark.parametrize("names", ["smok", "smoke seeds", ""])
def test_dvc_runs_nothing_and_shows_why_where_no_preset_can_be_printed(
    touching: Repository, names: str, where: str
) -> None:
    given = f"dvc exp run {where} $({sys.executable} -m src.preset {names}) -S seed=7"
    said = touching.run("sh", "-c", given, fails=True)
    reason = next(line for line in said.splitlines() if "error: " in line)
    assert {"smok": "no such file", "": "required"}.get(names, "unrecognized") in reason
    assert len(said.splitlines()) < 15  # so that a terminal still shows the reason
    assert not (touching.folder / "ran").exists()
    assert touching.run("git", "status", "--porcelain") == ""
    assert "touch" not in touching.run("dvc", "exp", "show", "--csv")


def test_help_is_not_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    assert capsys.readouterr().out.endswith("my_faces.tar.gz\n")


def test_a_studys_experiments_are_all_there_are() -> None:
    names = changed(read_yaml(PARAMS), read_preset("hotdog"))["experiments"].keys()
    assert [*names] == ["fine-tuned", "scratch"]


def test_what_extends_a_preset_differs_from_it_in_what_it_says_alone() -> None:
    base, other = read_preset("layerwise-cifar10"), read_preset("layerwise-food101")
    assert other["experiments"] == base["experiments"]
    assert other["study"]["claims"] == base["study"]["claims"]
    assert other["data"] == base["data"] | {"origin": "data/food101-stand-in.yaml"}


def test_no_study_has_the_name_of_another_preset() -> None:
    assert len({*PRESETS}) == len(PRESETS)


def test_no_two_purposes_share_a_registered_model() -> None:
    models = [read_preset(name)["tracking"]["model"] for name in (*STUDY_NAMES, "smoke")]
    assert len({*models, read_yaml(PARAMS)["tracking"]["model"]}) == len(models) + 1


@pytest.mark.parametrize("study", ["nothing", "smoke"])
def test_a_study_that_there_is_not_is_refused(study: str, tmp_path: Path) -> None:
    path = tmp_path / PARAMS
    path.write_text(PARAMS.read_text().replace("study: null", f"study: {study}"))
    for folder in (CONF, STUDIES):
        (tmp_path / folder).symlink_to(SHIPPED / folder)
    with pytest.raises(ConfigError, match=study):
        load_params(path)


def test_presets_that_extend_each_other_are_refused(tmp_path: Path) -> None:
    (tmp_path / CONF).mkdir()
    for name, other in (("a", "b"), ("b", "a")):
        (tmp_path / CONF / f"{name}.yaml").write_text(f"extends: {other}\n")
    with pytest.raises(ConfigError, match="does not extend this one"):
        read_preset("a", tmp_path)


def test_the_smoke_preset_leaves_out_the_experiments_that_are_null_in_it(tmp_path: Path) -> None:
    path = tmp_path / PARAMS
    path.write_text(PARAMS.read_text())
    for file, changes in to_path_overrides(overrides("smoke")).items():
        if Path(file) == PARAMS:
            apply_overrides(path, changes)
    names = [*read_yaml(path)["experiments"]]
    assert names == ["Baseline", "ModelA", "ModelC", "ModelD-256-128-dropout"]


@pytest.mark.parametrize("name", PRESETS)
def test_the_origin_of_a_preset_opens_with_its_classes(name: str) -> None:
    params = validate(Params, changed(read_yaml(PARAMS), read_preset(name)), name)
    names = {entry.subject for entry in open_origin(params.data).entries}
    assert len(names) > 1
    assert names == {*params.data.classes} or not params.data.classes
