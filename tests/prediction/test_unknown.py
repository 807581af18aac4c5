"""Faces of nobody whom the model knows are called unknown, by the threshold of that model alone."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from src import paths
from src.errors import UserError, WeightsError
from src.predict import main
from src.tracking.champion import champion_of
from src.tracking.registry import promote
from tests.thresholds import threshold_for
from tests.tracking.finished import finish_run
from tests.tracking.projects import MODEL, Project


@pytest.mark.parametrize(("value", "unknown"), [(-1e6, False), (1e6, True)])
def test_below_the_threshold_the_answer_is_unknown_beside_the_candidates(
    project: Project,
    photos: list[str],
    capsys: pytest.CaptureFixture[str],
    value: float,
    unknown: bool,
) -> None:
    threshold_for(project, value).save(paths.THRESHOLD)
    main(["--model", str(project.model), "--json", *photos])
    for given in json.loads(capsys.readouterr().out):
        likeliest = given["subjects"][0]["subject"]
        assert (given["unknown"], given["name"]) == (unknown, "unknown" if unknown else likeliest)
        likely = {row["subject"] for row in given["subjects"] if row["probability"] >= 0.3}
        assert {*given["candidates"]} == likely
    main(["--model", str(project.model), photos[0]])
    printed = capsys.readouterr().out
    assert ("exact.png: unknown" in printed) == unknown
    assert "candidates: " in printed


def test_the_threshold_of_a_model_file_is_applied_in_a_folder_within(
    project: Project,
    photos: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    threshold_for(project, 1e6).save(paths.THRESHOLD)
    model, photo = Path(project.model).resolve(), Path(photos[0]).resolve()
    Path("within").mkdir()
    monkeypatch.chdir("within")
    main(["--model", str(model), "--json", str(photo)])
    (given,) = json.loads(capsys.readouterr().out)
    assert given["unknown"]


@pytest.mark.parametrize("model", ["models/none.safetensors", "models"])
def test_beside_a_threshold_too_a_model_file_that_is_none_is_one_line(
    project: Project, photos: list[str], model: str
) -> None:
    threshold_for(project, 0.0).save(paths.THRESHOLD)
    with pytest.raises(UserError, match=f"^{model}: "):
        main(["--model", model, *photos])


def test_a_threshold_of_another_model_file_is_not_applied(
    project: Project, photos: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    replace(threshold_for(project, 1e6), model="0" * 32).save(paths.THRESHOLD)
    main(["--model", str(project.model), "--json", photos[0]])
    (given,) = json.loads(capsys.readouterr().out)
    assert not given["unknown"] and given["candidates"] is None


def test_the_champion_has_its_own_threshold_and_mlflow_answers_alike(
    project: Project, photos: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    from mlflow.pyfunc import load_model

    finish_run(project)
    threshold_for(project, 1e6).save(Path("own.safetensors"))
    promote(project.record, 0.5, MODEL, Path("own.safetensors"))
    assert not paths.THRESHOLD.exists()
    main(["--json", photos[0]])
    (given,) = json.loads(capsys.readouterr().out)
    assert given["unknown"] and given["name"] == "unknown"
    table = load_model(str(champion_of(MODEL).path.parents[1])).predict(
        np.array(Image.open(photos[0]))[None]
    )
    assert table.unknown.tolist() == [True] and table.name.tolist() == ["unknown"]
    assert table.candidates.tolist() == [given["candidates"]]
    assert table.subject.tolist() == [given["subjects"][0]["subject"]]


def test_a_file_that_is_no_threshold_is_one_line(project: Project, photos: list[str]) -> None:
    for facts in (b"nothing", None):
        if facts:
            paths.THRESHOLD.write_bytes(facts)
        else:
            replace(threshold_for(project, 1.0), means=None).save(paths.THRESHOLD)
        with pytest.raises(WeightsError, match="not a model's threshold; run `dvc repro evaluate`"):
            main(["--model", str(project.model), photos[0]])
