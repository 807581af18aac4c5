"""MLflow finds a logged model by the scores of its own network, and by the dataset."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from src.data.faceset import FaceSet
from src.tracking.provenance import dataset_version
from src.tracking.reconcile import log_test, reconcile
from src.tracking.run import track
from src.tracking.store import open_store
from tests.tracking.finished import finish_run
from tests.tracking.projects import EXPERIMENT, Project


def found(wanted: str) -> list[dict[str, float]]:
    """The metrics of the models that a search finds."""
    store = open_store(EXPERIMENT)
    models = store.client.search_logged_models([store.experiment_id], wanted)
    return [{each.key: each.value for each in model.metrics} for model in models]


def test_a_model_is_found_by_its_test_score_and_knows_the_dataset(project: Project) -> None:
    record = finish_run(project)
    assert found("metrics.`test/accuracy` > 0.5") == []
    for _ in range(2):  # the second time changes nothing
        log_test(project.record, {"accuracy": 0.6, "top5": 0.9})
    (metrics,) = found("metrics.`test/accuracy` > 0.5")
    assert metrics == {**record.finals, "test/accuracy": 0.6, "test/top5": 0.9}
    assert found("metrics.`test/accuracy` > 0.7") == []
    store = open_store(EXPERIMENT)
    (model,) = store.client.search_logged_models([store.experiment_id])
    assert record.dataset is not None
    assert {(each.dataset_name, each.dataset_digest) for each in model.metrics} == {
        (record.dataset.name, record.dataset.md5)
    }
    assert len(model.metrics) == len(metrics)
    history = store.client.get_metric_history(record.run_id, "best_val/accuracy")
    assert len(history) == 1, "the run has it once"


def test_of_several_seeds_the_model_has_the_scores_of_the_first(project: Project) -> None:
    faces = FaceSet.load(project.faces)
    with track(
        experiment=EXPERIMENT,
        name="ModelA",
        params={},
        dataset=dataset_version(project.faces, faces, "data/synthetic.yaml"),
        stage="train@ModelA",
        record=project.record,
        seeds=(3, 4),
    ) as run:
        for seed, accuracy in enumerate((0.5, 0.75)):
            run.log_epoch(1, {"val/accuracy": accuracy}, seed)
            run.log_finals({"best_val/accuracy": accuracy}, seed)
        run.log_model(project.model, faces.images[:2].permute(0, 2, 3, 1).numpy())
    log_test(project.record, {"accuracy": 0.6}, seeds=[{"accuracy": 0.55}, {"accuracy": 0.65}])
    assert found("metrics.`test/accuracy` > 0") == [
        {"best_val/accuracy": 0.5, "test/accuracy": 0.55}
    ]
    client = open_store(EXPERIMENT).client
    assert client.get_run(run.run_id).data.metrics["best_val/accuracy"] == 0.625, "the mean"


def test_a_rebuilt_run_gives_its_model_the_metrics_again(
    project: Project, blueprint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = finish_run(project)
    clone = tmp_path / "clone"
    shutil.copytree(project.root, clone, ignore=shutil.ignore_patterns("mlruns"))
    shutil.copytree(blueprint / "mlruns", clone / "mlruns")
    monkeypatch.chdir(clone)
    assert reconcile(project.record).state == "rebuilt"
    assert found("metrics.`best_val/accuracy` > 0.6") == [record.finals]
