"""The whole command, in its own process state: MLflow, files, resuming."""

from __future__ import annotations

import csv
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from src import paths
from src.cli import run
from src.config import BEST_NAME, PARAMS, load_params, read_yaml
from src.data.faceset import FaceSet, Split
from src.files import write_json, write_text
from src.models.classifier import Classifier
from src.tracking.store import open_store
from src.tracking.writing import PARENT
from src.tune.__main__ import main
from src.tune.command import update_features
from tests.tracking.projects import EXPERIMENT
from tests.tune.conftest import write_faces

STATUS = {"complete": "FINISHED", "pruned": "KILLED"}


@pytest.fixture
def tracked(here: Path, blueprint: Path) -> Path:
    """The project with an empty, migrated MLflow store."""
    shutil.copytree(blueprint / "mlruns", here / "mlruns")
    return here


def trials() -> list[dict[str, str]]:
    with Path("tune/trials.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_command_finds_a_head_tracks_it_and_is_resumed_later(
    tracked: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["--trials", "8"])
    assert_best_is_an_experiment_and_a_model()
    assert_tracked(8)
    shown = capsys.readouterr().out
    assert BEST_NAME in shown and "ModelD-published" in shown

    main(["--trials", "10"])
    assert len(trials()) == 10
    assert_tracked(10)


def test_an_offline_search_leaves_mlflow_alone_and_is_logged_by_the_next_call(
    tracked: Path,
) -> None:
    settings = Path(PARAMS)
    online = settings.read_text(encoding="utf-8")
    write_text(settings, online.replace("offline: false", "offline: true"))
    main(["--trials", "4"])
    store = open_store(EXPERIMENT)
    assert len(trials()) == 4 and not store.client.search_runs([store.experiment_id])

    write_text(settings, online)
    main(["--trials", "4"])
    assert_tracked(4)


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Changes the time zone of the process, as a laptop's changes on a journey."""

    def change(name: str) -> None:
        monkeypatch.setenv("TZ", name)
        time.tzset()

    yield change
    monkeypatch.undo()
    time.tzset()


def test_trials_are_logged_once_though_the_time_zone_changes(
    tracked: Path, zone: Callable[[str], None]
) -> None:
    for name in ("UTC", "EST+5"):
        zone(name)
        main(["--trials", "4"])
        assert_tracked(4)


def test_the_command_says_that_it_makes_the_features_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    subprocess.run([sys.executable, "-m", "dvc", "init", "--no-scm", "--quiet"], check=True)
    Path("dvc.yaml").write_text("stages: {embed: {cmd: echo made > features, outs: [features]}}\n")
    update_features()
    assert Path("features").is_file()
    assert capfd.readouterr().err == "`dvc repro embed` makes what is out of date ...\n"


@pytest.mark.parametrize("change", ["empty", "other images"])
def test_the_test_split_is_left_to_the_evaluation(
    here: Path, change: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def search() -> tuple[str, str, str]:
        main(["--trials", "4", "--no-mlflow"])
        files = (Path("tune/trials.csv"), Path("tune/best.yaml"))
        said = capsys.readouterr().out
        return said, *(file.read_text(encoding="utf-8") for file in files)

    before = search()
    shutil.rmtree("mlruns")
    faces = FaceSet.load(paths.FACES)
    tests = faces.split == Split.test.value
    if change == "empty":
        faces = FaceSet(
            faces.images[~tests], faces.labels[~tests], faces.split[~tests], faces.subjects
        )
    else:
        faces.images[tests] = 255 - faces.images[tests]
    write_faces(here, faces)
    assert search() == before


def trials_best() -> int:
    complete = [row for row in trials() if row["state"] == "complete"]
    best = max(complete, key=lambda row: (float(row["val_accuracy"]), -float(row["val_loss"])))
    return int(best["trial"])


def assert_best_is_an_experiment_and_a_model() -> None:
    params, best = load_params(), trials()[trials_best()]
    experiment = params.experiments[BEST_NAME]
    assert len(experiment.head.hidden) == int(best["layers"])
    assert experiment.head.hidden[0] == int(best["width_1"])
    assert params.recipe_of(BEST_NAME).weight_decay == float(best["weight_decay"])
    classifier = Classifier.load(Path("tune/ModelD-best.safetensors"))
    images, labels = FaceSet.load(paths.FACES).part(Split.val)
    accuracy = (classifier.logits(images).argmax(1) == labels).float().mean().item()
    assert accuracy == pytest.approx(float(best["val_accuracy"]))
    for name in ("history", "parallel", "slices"):
        assert Path(f"tune/{name}.png").read_bytes().startswith(b"\x89PNG")


def assert_tracked(number: int) -> None:
    from mlflow.pyfunc import load_model

    store = open_store(EXPERIMENT)
    runs = store.client.search_runs([store.experiment_id])
    children = [run for run in runs if PARENT in run.data.tags]
    (parent,) = [each for each in runs if PARENT not in each.data.tags]
    assert parent.info.status == "FINISHED"
    assert {"best_val/accuracy", "seeds_val/accuracy"} <= set(parent.data.metrics)
    assert not [name for name in parent.data.metrics if "test" in name]
    assert {run.data.tags[PARENT] for run in children} == {parent.info.run_id}
    expected = Counter(STATUS[row["state"]] for row in trials())
    assert Counter(run.info.status for run in children) == expected and len(children) == number
    for child in children:
        row = trials()[int(child.data.tags["study.trial"])]
        assert float(child.data.params["learning_rate"]) == float(row["learning_rate"])
        history = store.client.get_metric_history(child.info.run_id, "val/accuracy")
        assert len(history) == (6 if row["state"] == "complete" else 5)
        (dataset,) = child.inputs.dataset_inputs
        assert dataset.dataset.digest == child.data.tags["data.md5"]
    names = {file.path for file in store.client.list_artifacts(parent.info.run_id)}
    assert {"best.yaml", "trials.csv", "history.png"} <= names
    logged = store.client.get_logged_model(parent.outputs.model_outputs[-1].model_id)
    model = load_model(logged.artifact_location)
    images = torch.zeros(2, 16, 16, 3, dtype=torch.uint8).numpy()
    assert set(model.predict(images)["subject"]) <= {"ann", "bob", "cyd", "dee"}


def test_a_stopped_command_ends_its_run_as_killed_and_resumes_it(
    tracked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from src.tune.table import LiveTable

    refreshes = iter(range(20))

    def stop(_table: LiveTable) -> None:
        if next(refreshes, None) is None:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(LiveTable, "refresh", stop)
        with pytest.raises(KeyboardInterrupt):
            main(["--trials", "8"])
    store = open_store(EXPERIMENT)
    runs = store.client.search_runs([store.experiment_id])
    (parent,) = [each for each in runs if PARENT not in each.data.tags]
    assert parent.info.status == "KILLED"
    assert not Path("tune/best.yaml").exists()

    main(["--trials", "8"])
    assert_tracked(8)


def test_a_search_in_which_every_head_diverges_fails_and_writes_nothing(
    tracked: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in Path().glob("tune/*") if path.is_file()}
    with pytest.raises(SystemExit) as stopped:
        run(main, ["--trials", "12", "--learning-rate", "1e38"])
    printed = capsys.readouterr()
    assert stopped.value.code == 2 and not printed.out
    assert "the loss of 12 was not finite; lower tune.space.learning_rate" in printed.err
    assert {path: path.read_bytes() for path in Path().glob("tune/*") if path.is_file()} == before
    store = open_store(EXPERIMENT)
    runs = store.client.search_runs([store.experiment_id])
    (study,) = [each for each in runs if PARENT not in each.data.tags]
    assert study.info.status == "FAILED"


@pytest.mark.usefixtures("here")
def test_the_closing_table_names_a_published_head_that_diverged_without_an_accuracy(
    capsys: pytest.CaptureFixture[str],
) -> None:
    raw = read_yaml(PARAMS)
    head = raw["experiments"]["ModelD-published"]
    raw["experiments"]["ModelD-wild"] = {**head, "learning_rate": 1e38}
    write_json(PARAMS, raw)  # JSON is YAML
    main(["--trials", "2", "--no-mlflow", "--learning-rate", "0.001:1e38"])
    lines = capsys.readouterr().out.splitlines()
    assert any(line.split()[:1] == ["ModelD-published"] for line in lines), lines
    (said,) = (line for line in lines if "ModelD-wild" in line)
    assert said == "The table lacks ModelD-wild, whose loss was not finite."
