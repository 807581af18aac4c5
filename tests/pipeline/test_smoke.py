"""The whole pipeline, run by real DVC in a repository of its own, recorded by real MLflow."""

from __future__ import annotations

import json

import pytest

from src.files import digest
from src.preset import overrides
from tests.pipeline.repository import Repository

pytestmark = pytest.mark.pipeline

METRICS = {
    "train/loss",
    "train/accuracy",
    "val/loss",
    "val/accuracy",
    "lr",
    "seconds_per_epoch",
    "images_per_second",
    "test/accuracy",
    "test/accuracy_low",
    "test/accuracy_high",
    "best_epoch",
    "trainable_parameters",
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Repository, str]:
    """The `smoke` preset, run to the end by `dvc exp run` without a terminal, and what it said."""
    made = Repository.with_pipeline(tmp_path_factory.mktemp("project"))
    arguments = [part for pair in overrides("smoke") for part in ("-S", pair)]
    return made, made.run("dvc", "exp", "run", *arguments)


@pytest.fixture
def repository(finished: tuple[Repository, str]) -> Repository:
    """The repository with the finished pipeline."""
    return finished[0]


def experiments(repository: Repository) -> set[str]:
    return {path.stem for path in (repository.folder / "metrics/train").glob("*.json")}


def test_every_stage_says_what_it_did_and_the_last_what_came_of_it_all(
    finished: tuple[Repository, str],
) -> None:
    repository, output = finished
    names = experiments(repository)
    expected = {
        "dataset": ["4 subjects, 48 images: ", "4 strangers, 12 images"],
        "weights": ["source weights: resnet18, pretrain "],
        "embed": ["features: 512 numbers for each of "],
        **{f"train@{name}": [f"{name}: validation "] for name in names},
        "evaluate": [f"{name}: test " for name in names],
        "register": ["face-classifier-smoke version 1 is now the champion"],
        "report": ["reports/index.html: the comparison of 4 experiments"],
    }
    said = {part.split("'")[0]: part for part in output.split("Running stage '")[1:]}
    stages = list(said)
    assert said.keys() == expected.keys()
    for stage, lines in expected.items():
        for line in lines:
            assert f"\n{line}" in said[stage]
    assert stages[-1] == "report"
    steps = said["report"].split("\nnext:\n")[1].splitlines()[:3]
    assert all(step.startswith("  ") for step in steps)
    assert not [line for line in output.splitlines() if "\x1b" in line]


def test_all_runs_are_finished_and_carry_the_same_metrics(
    repository: Repository,
) -> None:
    runs = repository.table("SELECT run_uuid, name, status FROM runs")
    assert sorted(name for _, name, _ in runs) == sorted(experiments(repository))
    assert len(runs) == 4
    assert {status for _, _, status in runs} == {"FINISHED"}
    for run, _, _ in runs:
        rows = repository.table("SELECT key FROM latest_metrics WHERE run_uuid = ?", run)
        assert {key for (key,) in rows} >= METRICS


def test_every_stage_leaves_its_outputs_and_dvc_shows_them(repository: Repository) -> None:
    for name in ("reports/index.html", "reports/results.md", "data/contact_sheet.png"):
        assert (repository.folder / name).stat().st_size > 0
    shown = json.loads(repository.run("dvc", "metrics", "show", "--json").split("\n")[0])
    assert "metrics/test.json" in shown[""]["data"]
    champion = json.loads((repository.folder / "metrics/registered.json").read_text())
    assert champion["name"] in experiments(repository)


def test_the_champion_has_the_threshold_that_strangers_set(repository: Repository) -> None:
    found = json.loads((repository.folder / "metrics/unknown.json").read_text())
    champion = json.loads((repository.folder / "metrics/registered.json").read_text())
    assert found["experiment"] == champion["name"]
    assert (found["strangers"]["setting"], found["strangers"]["measuring"]) == (2, 2)
    registered = (repository.folder / "mlruns").rglob("threshold.safetensors")
    expected = digest(repository.folder / "data/threshold.safetensors")
    assert [digest(path) for path in registered] == [expected]
    assert 'id="strangers"' in (repository.folder / "reports/index.html").read_text()


def test_nothing_is_done_twice(repository: Repository) -> None:
    assert repository.stages_run("repro") == set()


def test_the_champion_names_the_subjects_of_a_photo(repository: Repository) -> None:
    from PIL import Image

    Image.new("RGB", (50, 60), "sienna").save(repository.folder / "photo.png")
    output = repository.run("python", "-m", "src.predict", "photo.png")
    assert output.count("subject_") >= 4


@pytest.mark.long
def test_one_experiments_dropout_reruns_that_experiment_and_what_follows(
    repository: Repository,
) -> None:
    change = "experiments.ModelD-256-128-dropout.head.dropout=[0.3,0.3]"
    ran = repository.stages_run("exp", "run", "-S", change)
    assert ran == {"train@ModelD-256-128-dropout", "evaluate", "report", "register"}


@pytest.mark.long
def test_a_run_from_nothing_gives_the_same_bytes(repository: Repository) -> None:
    kept = [
        path
        for folder in ("models", "metrics")
        for path in sorted((repository.folder / folder).rglob("*"))
        if path.suffix in (".safetensors", ".json")
    ]
    assert len(kept) >= 10  # a model and metrics of each, and what all share
    before = {path: digest(path) for path in kept}
    stages = ("dataset", "embed", "train@ModelC", "evaluate")
    repository.run("dvc", "repro", "--force", "--single-item", *stages)
    assert {path: digest(path) for path in kept} == before


def test_a_wrong_parameter_stops_on_one_line_before_anything_is_lost(
    repository: Repository,
) -> None:
    path = repository.folder / "params.yaml"
    params, model = path.read_text(), repository.folder / "models/ModelA.safetensors"
    before = digest(model)
    path.write_text(params.replace("conv5_x", "conv9_x"))
    output = repository.run("python", "-m", "pipelines.train", "ModelA", fails=True)
    path.write_text(params)
    assert len(output.splitlines()) == 1
    assert "conv9_x" in output and "conv5_x" in output
    assert digest(model) == before
