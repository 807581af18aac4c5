"""Every network is scored on the same test images, no others, and the scores go to MLflow."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pipelines.evaluate import main
from src import paths
from src.config import PARAMS
from src.data.faceset import FaceSet, Split
from src.data.strangers import nobody
from src.errors import OriginError, StaleInputError, WeightsError
from src.evaluation.predictions import Predictions
from src.files import digest, write_json
from src.models.classifier import Classifier
from src.models.network import load_state, save_network
from src.models.threshold import Threshold, answer
from src.tensors import load_tensors, save_tensors
from src.tracking.pages import COLOUR, NOTE, VIEW
from src.tracking.store import open_store
from src.tracking.unchanged import check_unchanged
from tests import fabricate
from tests.pipelines.evaluated import NAMES, SUBJECTS, others, outputs, prepare
from tests.tracking.projects import EXPERIMENT


@pytest.fixture(scope="module")
def faces(blueprint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaceSet]:
    """A project with two networks, each with its run, evaluated; the working directory."""
    root = tmp_path_factory.mktemp("evaluate") / "project"
    shutil.copytree(blueprint, root)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        made = prepare()
        main([])
        yield made


def test_every_network_answers_the_test_images_and_no_others(faces: FaceSet) -> None:
    made = Predictions.load(paths.PREDICTIONS)
    images, labels = faces.part(Split.test)
    assert made.labels.tolist() == labels.tolist()
    assert made.rows.tolist() == faces.rows(Split.test).tolist()
    for name in NAMES:
        alone = Classifier.load(paths.model(name)).logits(images)
        torch.testing.assert_close(torch.from_numpy(made.logits[name][0]), alone)
    assert (len(made.logits["Baseline"]), len(made.logits["ModelA"])) == (1, 2)
    metrics = json.loads(paths.TEST_METRICS.read_text())
    assert tuple(metrics) == NAMES
    assert metrics["ModelA"]["images"] == 9
    by_seed = made.correct("ModelA").mean(axis=1)
    assert metrics["ModelA"]["accuracy"] == round(float(by_seed.mean()), 6)
    assert metrics["ModelA"]["accuracy_sd"] == round(float(np.std(by_seed, ddof=1)), 6)
    assert (metrics["Baseline"]["seeds"], metrics["ModelA"]["seeds"]) == (1, 2)
    assert "accuracy_sd" not in metrics["Baseline"]


def test_each_experiment_has_its_tables_and_figures(faces: FaceSet) -> None:
    with paths.confusion("ModelA").open() as file:
        pairs = list(csv.DictReader(file))
    assert len(pairs) == 9
    assert {pair["actual"] for pair in pairs} == set(SUBJECTS)
    with (paths.evaluation("ModelA") / "per_subject.csv").open() as file:
        rows = {row["subject"]: row for row in csv.DictReader(file)}
    right = sum(p["actual"] == p["predicted"] == "ann" for p in pairs)
    assert float(rows["ann"]["recall"]) == pytest.approx(right / 3)
    expected = ["confusion", "curves", "reliability", "worst_mistakes", "worst_subjects"]
    figures = {name: {p.stem for p in paths.evaluation(name).glob("*.png")} for name in NAMES}
    assert figures == {"Baseline": {*expected}, "ModelA": {*expected, "strangers"}}


def test_a_second_time_gives_the_same_bytes(faces: FaceSet) -> None:
    first = outputs()
    main([])
    assert outputs() == first


def test_runs_in_mlflow_get_the_test_figures(faces: FaceSet) -> None:
    store = open_store(EXPERIMENT)
    run_id = json.loads(paths.run_record("ModelA").read_text())["run_id"]
    metrics = store.client.get_run(run_id).data.metrics
    accuracy = json.loads(paths.TEST_METRICS.read_text())["ModelA"]["accuracy"]
    assert metrics["test/accuracy"] == accuracy
    calibration = {"temperature", "ece", "ece_uncalibrated", "nll", "nll_uncalibrated"}
    assert {f"test/{key}" for key in calibration} <= metrics.keys()
    assert {"test/accuracy_low", "test/accuracy_high"} <= set(metrics)
    assert "test/top5" not in metrics, "of three subjects"
    files = {item.path for item in store.client.list_artifacts(run_id)}
    assert {"confusion.png", "per_subject.csv", "reliability.png"} <= files


def test_mlflows_pages_have_a_view_and_colours_once_runs_are_evaluated(faces: FaceSet) -> None:
    store = open_store(EXPERIMENT)
    run_id = json.loads(paths.run_record("ModelA").read_text())["run_id"]
    assert COLOUR in store.client.get_run(run_id).data.tags
    assert {NOTE, VIEW} <= store.client.get_experiment(store.experiment_id).tags.keys()


def test_figures_are_of_the_kept_models_temperature(faces: FaceSet) -> None:
    record, given = paths.run_record("ModelA").read_text(), paths.model("ModelA").read_bytes()
    before = outputs()
    state, spec = load_state(paths.model("ModelA"))
    save_network(paths.model("ModelA"), state, replace(spec, temperature=0.5))
    main([])
    metrics = json.loads(paths.TEST_METRICS.read_text())["ModelA"]
    made = Predictions.load(paths.PREDICTIONS)
    alone = Classifier.load(paths.model("ModelA")).probabilities(faces.part(Split.test)[0])
    np.testing.assert_allclose(made.probabilities("ModelA"), alone.numpy(), rtol=1e-4)
    right = made.probabilities("ModelA")[range(len(made.labels)), made.labels]
    assert metrics["nll"] == pytest.approx(-np.log(right).mean(), abs=1e-5)
    assert metrics["temperature"] == 0.5
    assert metrics["nll"] != metrics["nll_uncalibrated"]
    paths.model("ModelA").write_bytes(given)
    paths.run_record("ModelA").write_text(record)
    main([])
    assert outputs() == before


def test_the_best_on_validation_gets_a_threshold_for_its_own_file(faces: FaceSet) -> None:
    threshold = Threshold.load(paths.THRESHOLD)
    assert threshold.experiment == "ModelA", "as good as Baseline with fewer parameters"
    assert threshold.model == digest(paths.model("ModelA"))
    found = json.loads(paths.UNKNOWN_METRICS.read_text())
    assert (found["strangers"]["setting"], found["strangers"]["measuring"]) == (2, 2)
    assert found["strangers"]["resolution"] == pytest.approx(1 / 7, abs=1e-6)
    assert found["scores"].keys() == {"probability", "energy", "distance"}
    assert not paths.strangers_figure("Baseline").exists()
    classifier, strangers = Classifier.load(paths.model("ModelA")), others()
    asked = [faces.part(Split.test)[0], strangers.part(Split.test)[0]]
    known, foreign = (answer(classifier, threshold, images) for images in asked)
    own = found["scores"][found["score"]]
    assert own["frr"] == pytest.approx(known.unknown.float().mean().item(), abs=1e-6)
    assert own["far"] == pytest.approx(1 - foreign.unknown.float().mean().item(), abs=1e-6)
    run_id = json.loads(paths.run_record(found["experiment"]).read_text())["run_id"]
    logged = open_store(EXPERIMENT).client.get_run(run_id).data.metrics
    assert [logged[f"test/unknown_{key}"] for key in ("auroc", "far", "frr")] == [
        own["auroc"],
        own["far"],
        own["frr"],
    ]
    assert known.candidates is not None
    size = known.candidates.sum(1).float().mean().item()
    assert found["candidates"]["mean_size"] == pytest.approx(size, abs=1e-5)
    setting = answer(classifier, threshold, strangers.part(Split.val)[0])
    assert setting.unknown.all(), "with six images no rate below 1/7 can be promised"


def test_the_threshold_and_its_rates_are_of_float32_as_answers_are(faces: FaceSet) -> None:
    given = PARAMS.read_bytes()
    written = {}
    for precision in ("bfloat16", "float32"):
        params = json.loads(given)
        params["engine"] = {"precision": precision}
        write_json(PARAMS, params)
        main([])
        files = (paths.PREDICTIONS, paths.THRESHOLD, paths.UNKNOWN_METRICS)
        written[precision] = [path.read_bytes() for path in files]
    PARAMS.write_bytes(given)
    assert written["bfloat16"][0] != written["float32"][0]
    assert written["bfloat16"][1:] == written["float32"][1:]


def test_neither_test_images_nor_the_measuring_half_move_the_threshold(faces: FaceSet) -> None:
    before, given = paths.THRESHOLD.read_bytes(), paths.UNKNOWN_METRICS.read_bytes()
    dataset, strangers = FaceSet.load(paths.FACES), others()
    for changed, path in ((dataset, paths.FACES), (strangers, paths.STRANGERS)):
        rows = changed.rows(Split.test)
        changed.images[rows] = 255 - changed.images[rows]
        changed.save(path)
    main([])
    assert paths.THRESHOLD.read_bytes() == before
    assert paths.UNKNOWN_METRICS.read_bytes() != given
    rows = strangers.rows(Split.val)
    strangers.images[rows] = 255 - strangers.images[rows]
    strangers.save(paths.STRANGERS)
    main([])
    assert paths.THRESHOLD.read_bytes() != before
    faces.save(paths.FACES)
    others().save(paths.STRANGERS)
    main([])
    assert paths.THRESHOLD.read_bytes() == before


def test_without_strangers_there_is_no_threshold_and_the_stage_says_so(
    faces: FaceSet, capsys: pytest.CaptureFixture[str]
) -> None:
    before = outputs()
    nobody(32).save(paths.STRANGERS)
    main([])
    assert "no strangers, so no answer is ever unknown" in capsys.readouterr().out
    assert Threshold.load(paths.THRESHOLD).score is None
    assert json.loads(paths.UNKNOWN_METRICS.read_text())["strangers"] == {}
    assert not paths.strangers_figure("ModelA").exists()
    others(16).save(paths.STRANGERS)
    with pytest.raises(StaleInputError, match="of another image size than the dataset"):
        main([])
    others().save(paths.STRANGERS)
    main([])
    assert outputs() == before


def test_bad_inputs_are_told_and_leave_earlier_outputs_alone(faces: FaceSet) -> None:
    before = outputs()
    fabricate.faces(("ann", "bob", "zoe"), train=2, test=3).save(paths.FACES)
    with pytest.raises(StaleInputError, match="trained for other subjects"):
        main([])
    fabricate.faces(SUBJECTS, test=0).save(paths.FACES)
    with pytest.raises(OriginError, match="the test split is empty"):
        main([])
    faces.save(paths.FACES)
    paths.model("ModelA").rename("aside")
    with pytest.raises(WeightsError, match=r"ModelA\.safetensors"):
        main([])
    Path("aside").rename(paths.model("ModelA"))
    assert outputs() == before


@pytest.mark.parametrize("which", [paths.model, paths.seed_models])
def test_a_file_that_is_not_the_one_of_dvc_lock_or_of_the_record_is_named(
    faces: FaceSet, which: Callable[[str], Path]
) -> None:
    before, path = outputs(), which("ModelA")
    record, given = paths.run_record("ModelA").read_text(), path.read_bytes()
    model = {"path": "../models/ModelA.safetensors", "md5": digest(paths.model("ModelA"))}
    write_json(paths.run_record("ModelA"), json.loads(record) | {"model": model})
    files = (paths.model("ModelA"), paths.seed_models("ModelA"))
    outs = [{"path": file.as_posix(), "md5": digest(file)} for file in files]
    write_json(Path("dvc.lock"), {"stages": {"train@ModelA": {"outs": outs}}})  # JSON is YAML
    check_unchanged("ModelA")
    tensors, metadata = load_tensors(path)
    facts = {key: json.loads(value) for key, value in metadata.items()}
    save_tensors(path, tensors, **facts, altered=True)
    with pytest.raises(StaleInputError, match=rf"^{path}: changed since .*train@ModelA`$"):
        main([])
    path.write_bytes(given)
    paths.run_record("ModelA").write_text(record)
    Path("dvc.lock").unlink()
    assert outputs() == before


def test_a_network_of_nan_is_not_scored(faces: FaceSet) -> None:
    before, given = outputs(), paths.model("Baseline").read_bytes()
    for key, value, told in (
        ("classifier.weight", torch.nan, "not finite: classifier.weight"),
        ("features.18.1.running_var", -1.0, "its answers are not finite"),
    ):
        paths.model("Baseline").write_bytes(given)
        state, spec = load_state(paths.model("Baseline"))
        state[key].fill_(value)
        save_network(paths.model("Baseline"), state, spec)
        with pytest.raises(WeightsError, match=rf"^models/Baseline\.safetensors: .*{told}"):
            main([])
    paths.model("Baseline").write_bytes(given)
    assert outputs() == before
