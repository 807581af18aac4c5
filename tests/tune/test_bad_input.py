"""One line, exit code 2, and the study as it was."""

from __future__ import annotations

from pathlib import Path

import pytest
from filelock import FileLock

from src import paths
from src.cli import run
from src.config import load_params
from src.data.faceset import FaceSet
from src.tune.__main__ import main
from src.tune.objective import Objective
from src.tune.storage import open_storage, parse_url
from src.tune.study import open_study

DATABASE = Path("mlruns/optuna.db")
pytestmark = pytest.mark.usefixtures("here")


def refused(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """The single line that the command prints on refusing."""
    with pytest.raises(SystemExit) as stopped:
        run(main, ["--no-mlflow", *argv])
    printed = capsys.readouterr()
    assert stopped.value.code == 2
    assert printed.err.startswith("error: ") and printed.err.count("\n") == 1
    assert not printed.out
    return printed.err


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["--trials", "0"], "trials"),
        (["--width", "512:64"], "write [64, 512]"),
        (["--dropout", "0.1:1.5"], "dropout"),
        (["--learning-rate", "0.1:0.2:0.3"], "[low, high]"),
        (["--workers", "0"], "--workers"),
        (["--timeout", "-1"], "--timeout"),
        (["--timeout", "nan"], "--timeout"),
        (["--sampler", "grid"], "sampler"),
        (["--storage", "mongodb://here/there"], "not the URL of an Optuna storage"),
        (["--storage", "nonsense"], "not the URL of an Optuna storage"),
        (["--workers", "2"], "SQLite"),
        (["--storage", "postgresql://me:secret@127.0.0.1:9/studies"], "cannot be opened"),
        (["--storage", "postgresql://me@127.0.0.1:9/s?password=secret"], "cannot be opened"),
        (["--storage", "postgresql://me:p@secret@127.0.0.1:9/s"], "unescaped"),
        (["--storage", "postgresql://me:secret@127.0.0.1:x/s"], "not the URL"),
        (["--storage", "mongodb://h/s?password=secret"], "not the URL"),
        (["--storage", "sqlite:///."], "names no file"),
        (["--storage", "sqlite:////"], "names no file"),
        (["--storage", "sqlite://"], "names no file"),
        (["--storage", "sqlite:///:memory:"], "names no file"),
        (["--storage", "sqlite:////proc/none/optuna.db"], "cannot be opened"),
        (["--device", "tpu"], "device"),
        (["--seed", "-1"], "--seed: cannot be -1"),
        (["--seed", "5000000000"], "give 0 to 2147483647"),
    ],
)
def test_what_cannot_be_searched_is_refused_before_anything_is_made(
    capsys: pytest.CaptureFixture[str], argv: list[str], told: str
) -> None:
    line = refused(capsys, *argv)
    assert told in line and "secret" not in line
    assert not DATABASE.exists()


@pytest.fixture
def begun() -> bytes:
    """A study of the project's space and features, not yet run; returns its file."""
    params = load_params()
    DATABASE.parent.mkdir()
    objective = Objective.load(params)
    storage = open_storage(parse_url(params.tune.storage), 1)
    open_study(storage, params, objective.definition)
    storage.engine.dispose()
    return DATABASE.read_bytes()


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["--width", "4:32"], "space.width was [4, 16] and is [4, 32]"),
        (["--epochs", "9"], "epochs was 6 and is 9"),
        (["--seed", "5"], "seed"),
        (["--pruner", "median"], "pruner was halving and is median"),
        (["--sampler", "random"], "sampler was tpe and is random"),
        (["--wave", "2"], "wave was 4 and is 2"),
    ],
)
def test_a_study_with_other_settings_is_refused_and_left_as_it_is(
    capsys: pytest.CaptureFixture[str], begun: bytes, argv: list[str], told: str
) -> None:
    line = refused(capsys, *argv)
    assert told in line and "--study" in line
    assert DATABASE.read_bytes() == begun


def test_a_study_in_another_precision_is_refused_by_name(
    capsys: pytest.CaptureFixture[str], begun: bytes
) -> None:
    text = Path("params.yaml").read_text(encoding="utf-8")
    before = Objective.load(load_params()).definition["precision"]
    now = "float32" if before == "bfloat16" else "bfloat16"
    Path("params.yaml").unlink()
    Path("params.yaml").write_text(text.replace("precision: auto", f"precision: {now}"))
    assert f"precision was {before} and is {now}" in refused(capsys)
    assert DATABASE.read_bytes() == begun


def repacked() -> None:
    """Another version of the dataset: one image differs."""
    faces = FaceSet.load(paths.FACES)
    images = faces.images.clone()
    images[0] += 1
    FaceSet(images, faces.labels, faces.split, faces.subjects).save(paths.FACES)


def test_features_of_another_dataset_version_are_refused(
    capsys: pytest.CaptureFixture[str], begun: bytes
) -> None:
    repacked()
    line = refused(capsys)
    assert "features.safetensors" in line and "dvc repro embed" in line
    assert DATABASE.read_bytes() == begun


def test_a_study_of_another_dataset_version_is_refused(
    capsys: pytest.CaptureFixture[str], begun: bytes
) -> None:
    from src.files import digest
    from src.models.weights import SourceWeights
    from src.training.device import resolve
    from src.training.features import Features
    from src.training.job import StartingPoint, make_features

    repacked()
    starting_point = StartingPoint(
        FaceSet.load(paths.FACES),
        SourceWeights.load(paths.SOURCE),
        digest(paths.FACES),
        digest(paths.SOURCE),
    )
    old = Features.load(paths.FEATURES)
    objective = Objective(load_params(), starting_point, old, resolve("cpu", "float32"))
    make_features(objective.any_job).save(paths.FEATURES)
    assert "another version of the dataset" in refused(capsys)
    assert DATABASE.read_bytes() == begun


def test_a_preset_that_says_nothing_of_the_search_is_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("conf").mkdir()
    Path("conf/other.yaml").write_text("seeds: 3\n")
    line = refused(capsys, "--preset", "other")
    assert line == "error: preset 'other': has no `tune`; name one that has, such as tune-mission\n"


def test_missing_features_are_named_with_the_command_that_makes_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    paths.FEATURES.unlink()
    assert "dvc repro embed" in refused(capsys)


def test_a_recipe_whose_features_change_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    text = Path("params.yaml").read_text(encoding="utf-8")
    Path("params.yaml").unlink()
    Path("params.yaml").write_text(text.replace("recipe: tuned", "recipe: reference"))
    assert "tune.recipe" in refused(capsys)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("multipliers: {head: 0}", "the multipliers of 'still'"),
        ("mixup: 0.4", "'still' changes"),
        ("schedule: cosine\n    warmup_epochs: 999", "the warmup_epochs of 'still', 999, are not"),
    ],
)
def test_a_recipe_that_no_head_can_be_searched_by_is_refused(
    setting: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = Path("params.yaml").read_text(encoding="utf-8")
    Path("params.yaml").unlink()
    still = f"  still:\n    {setting}\n    optimizer: sgd\n    learning_rate: 0.1\n"
    rest = "    batchnorm: freeze\n    normalize: true\n    flip: true\n    select: best\n"
    text = text.replace("recipes:\n", f"recipes:\n{still}{rest}", 1)
    where = text.index("tune:\n")
    text = text[:where] + text[where:].replace("recipe: tuned", "recipe: still")
    Path("params.yaml").write_text(text)
    assert f"tune.recipe: {said}" in refused(capsys)


def test_a_second_process_in_one_sqlite_file_is_refused(
    capsys: pytest.CaptureFixture[str], begun: bytes
) -> None:
    with FileLock(f"{DATABASE}.lock"):
        assert "another process is using it" in refused(capsys)
    assert DATABASE.read_bytes() == begun


def test_help_shows_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    assert "python -m src.tune --trials 50" in capsys.readouterr().out
