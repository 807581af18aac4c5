"""The stage chooses by validation accuracy and writes only what its inputs decide."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pipelines.register import main
from src import paths
from src.config import PARAMS, read_yaml
from src.config.presets import merged
from src.errors import StaleInputError, TrackingError
from src.files import digest, write_json
from src.models.threshold import Threshold
from src.tracking.champion import champion_of
from src.tracking.comparison import SIGNIFICANT
from src.tracking.pages import OF_MODEL
from src.tracking.run import track
from src.tracking.store import open_backend
from tests.shipped import SHIPPED
from tests.tracking.finished import finish_run
from tests.tracking.networks import answering, validate_on
from tests.tracking.projects import EXPERIMENT, MODEL, Project

VALIDATION = {"Baseline": (0.6, 51), "ModelA": (0.9, 900), "ModelB": (0.9, 500), "ModelC": (0.8, 9)}


@pytest.fixture
def trained(project: Project) -> dict[str, float]:
    """Four experiments' metrics, and the record and model of the one to choose."""
    import yaml

    params = yaml.safe_load((SHIPPED / PARAMS).read_text())
    params["experiments"] = {
        name: {"train": ["head"], "batch_size": 8, "epochs": 1} for name in VALIDATION
    }
    write_json(PARAMS, params)
    for name, (accuracy, trainable) in VALIDATION.items():
        metrics = {"val": {"accuracy": accuracy}, "trainable_parameters": trainable}
        write_json(paths.train_metrics(name), metrics)
    record = paths.run_record("ModelB")
    with track(
        experiment=EXPERIMENT, name="ModelB", params={}, dataset=None, stage="s", record=record
    ) as run:
        run.log_model(project.model, np.zeros((2, 32, 32, 3), np.uint8))
    Threshold.nothing(digest(project.model), "ModelB", 0.01).save(paths.THRESHOLD)
    return params


def test_the_best_on_validation_becomes_champion_and_of_equals_the_smaller(
    trained: dict[str, float], capsys: pytest.CaptureFixture[str]
) -> None:
    main([])
    assert "version 1 is now the champion" in capsys.readouterr().out
    first = paths.REGISTERED.read_bytes()
    assert json.loads(first) == {
        "model": MODEL,
        "name": "ModelB",
        "val_accuracy": 0.9,
        "trainable_parameters": 500,
    }
    assert champion_of(MODEL).path.is_file()
    main([])
    assert "version 1 is not promoted: it already is the champion" in capsys.readouterr().out
    assert paths.REGISTERED.read_bytes() == first


def test_the_gate_of_params_yaml_decides(
    trained: dict[str, object], project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    validate_on(project, 8, 12, 20)
    answering(project, "Baseline", 1)
    answering(project, "ModelB", 2, model="another")
    model = digest(Path("models/ModelB.safetensors"))
    Threshold.nothing(model, "ModelB", 0.01).save(paths.THRESHOLD)
    write_json(PARAMS, merged(trained, {"tracking": {"gate": SIGNIFICANT}}))
    main([])
    told = "version 2 is not promoted: not significantly better: right on 20 of 40"
    assert told in capsys.readouterr().out


def test_the_smoke_preset_and_the_default_have_a_champion_each(
    trained: dict[str, object], project: Project
) -> None:
    smoke = read_yaml(SHIPPED / "conf/smoke.yaml")
    write_json(PARAMS, merged(trained, {"tracking": smoke["tracking"]}))
    main([])
    write_json(PARAMS, trained)
    for name in VALIDATION:  # lower than the smoke preset's, which is no measure for them
        write_json(paths.train_metrics(name), {"val": {"accuracy": 0.1}, "trainable_parameters": 1})
    finish_run(project, paths.run_record("Baseline"))
    main([])
    assert champion_of(smoke["tracking"]["model"]).name.endswith("1 (ModelB on unknown data)")
    assert champion_of(MODEL).name.endswith("1 (Baseline on data/synthetic.yaml)")


def test_the_threshold_goes_into_the_registered_model_and_a_new_one_replaces_it(
    trained: dict[str, float], project: Project
) -> None:
    main([])
    first = champion_of(MODEL).threshold
    assert first is not None and first.read_bytes() == paths.THRESHOLD.read_bytes()
    Threshold.nothing(digest(project.model), "ModelB", 0.05).save(paths.THRESHOLD)
    main([])
    again = champion_of(MODEL).threshold
    assert again is not None and Threshold.load(again).far == 0.05
    again.write_bytes(b"altered")
    with pytest.raises(TrackingError, match="not the threshold that was registered"):
        champion_of(MODEL)
    again.unlink()
    again.parent.rmdir()
    main([])
    assert champion_of(MODEL).threshold is not None, "restored"
    Threshold.nothing("0" * 32, "ModelB", 0.05).save(paths.THRESHOLD)
    with pytest.raises(StaleInputError, match="the threshold of another model"):
        main([])


def test_mlflows_pages_describe_the_model(trained: dict[str, float], project: Project) -> None:
    main([])
    assert open_backend().client.get_registered_model(MODEL).description == OF_MODEL


def test_missing_metrics_are_one_line_and_earlier_output_stays(trained: dict[str, float]) -> None:
    paths.REGISTERED.write_text("earlier")
    paths.train_metrics("ModelC").unlink()
    with pytest.raises(StaleInputError, match=r"ModelC\.json: has no validation accuracy"):
        main([])
    assert paths.REGISTERED.read_text() == "earlier"
