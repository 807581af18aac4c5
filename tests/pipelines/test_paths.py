"""The files that dvc.yaml names are the ones that stages write and read."""

from pathlib import Path
from typing import Any

from pipelines.train import artifacts
from src import paths
from tests.pipelines.stages import stages
from tests.shipped import ROOT, SHIPPED

KEY = "${key}"
WRITTEN = {
    "dataset": {paths.FACES, paths.STRANGERS, paths.MANIFEST, paths.CONTACT_SHEET, paths.AUDIT},
    "weights": {paths.SOURCE},
    "embed": {paths.FEATURES},
    "train": {
        of(KEY)
        for of in (
            paths.model,
            paths.seed_models,
            paths.curves,
            paths.weight_change,
            paths.layers,
            paths.run_record,
            paths.train_metrics,
        )
    },
    "evaluate": {
        paths.PREDICTIONS,
        paths.THRESHOLD,
        paths.UNKNOWN_METRICS,
        paths.confusion(KEY).parent,
        paths.evaluation(KEY).parent,
        paths.TEST_METRICS,
    },
    "report": {
        paths.REPORT_PAGE,
        paths.REPORT_TEXT,
        paths.MODEL_CARD,
        paths.DATASET_CARD,
        paths.SUMMARY,
        paths.chart(KEY).parent,
        paths.LEARNING,
    },
    "register": {paths.REGISTERED},
}


def outputs(stage: dict[str, Any]) -> set[Path]:
    declared = (*stage.get("outs", ()), *stage.get("metrics", ()))
    return {Path(next(iter(out)) if isinstance(out, dict) else out) for out in declared}


def test_every_stage_declares_what_it_writes() -> None:
    declared = stages(SHIPPED / "dvc.yaml")
    assert declared
    for name, stage in declared.items():
        assert outputs(stage) == WRITTEN["train" if name == "train-best" else name], name


def test_the_best_head_trains_by_the_stage_of_the_others() -> None:
    """train-best is train with the search's result among its parameters."""
    declared = stages(SHIPPED / "dvc.yaml")
    for part in ("cmd", "deps", "outs", "metrics"):
        assert declared["train"][part] == declared["train-best"][part]


def test_every_dependency_in_the_repository_exists() -> None:
    for stage in stages(SHIPPED / "dvc.yaml").values():
        for dep in stage["deps"]:
            if dep.startswith(("src/", "pipelines/")):
                assert (ROOT / dep).exists(), dep


def test_mlflow_has_each_kind_of_file_under_one_name_whatever_the_experiment() -> None:
    ours, others = ([at for _, *at in artifacts(name)] for name in ("ModelA", "ModelB"))
    assert ours == others
