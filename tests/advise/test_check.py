"""Advice beside what the runs showed: nothing is assessed before all that it needs is there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from src import paths
from src.advise.__main__ import main, show
from src.advise.advice import Advice, MeasuredResults, outcome
from src.advise.rule import Candidate
from src.advise.situation import Situation
from src.errors import OriginError, StaleInputError
from src.evaluation.predictions import Predictions
from src.evaluation.significance import mcnemar
from src.models.weights import random_weights
from src.training.job import StartingPoint
from tests import fabricate

SITUATION = Situation(12, 3, {"conv4_x": 0.5, "conv5_x": 0.4}, -0.5, 1e11)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fabricated project that has been run, entered."""
    fabricate.write_project(tmp_path, fabricate.faces())
    random_weights("resnet18", 0).save(tmp_path / "models/source.safetensors")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def advice(*names: str) -> Advice:
    ranking = tuple(Candidate(name, "head", (), 10, 1.0) for name in names)
    return Advice(SITUATION, ranking, ("why [not]",))


def starting_point() -> StartingPoint:
    return StartingPoint.load(paths.FACES, paths.SOURCE)


def untrained() -> None:
    paths.train_metrics("ModelA").unlink()


def unevaluated() -> None:
    paths.PREDICTIONS.unlink()


def evaluated_without() -> None:
    known = Predictions.load(paths.PREDICTIONS)
    logits = {name: known.logits[name] for name in known.logits if name != "ModelA"}
    Predictions(logits, known.labels, known.rows, known.subjects).save(paths.PREDICTIONS)


def packed_anew() -> None:
    fabricate.faces(test=19).save(paths.FACES)


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (untrained, "metrics/train/ModelA.json"),
        (unevaluated, "data/predictions.safetensors"),
        (evaluated_without, "no predictions of ModelA"),
        (packed_anew, "made from other faces or labels"),
    ],
)
def test_a_check_that_cannot_be_made_is_refused_before_any_work(
    spoil: Callable[[], None], named: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def assess(_work: object) -> Situation:
        pytest.fail("the dataset was assessed first")

    monkeypatch.setattr("src.advise.advice.assess", assess)
    spoil()
    with pytest.raises(StaleInputError, match=named):
        main(["--check"])


def test_the_outcome_is_that_of_the_predictions(project: Path) -> None:
    known = Predictions.load(paths.PREDICTIONS)
    names = ("ModelD-256-128-dropout", "Baseline", "ModelC", "ModelA")  # from worst to best
    found = outcome(advice(*names), MeasuredResults.read(names, starting_point()))
    assert (found.advised, found.best) == (names[0], "ModelA")
    assert found.test == {name: known.correct(name).mean() for name in names}
    assert found.p == mcnemar(known.correct(names[0]), known.correct("ModelA")).p
    assert found.tau == pytest.approx(-1)


def test_results_without_an_order_have_no_rank_correlation(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    measured = MeasuredResults.read(("ModelA",), starting_point())
    found = outcome(advice("ModelA"), measured)
    assert found.tau is None
    show(advice("ModelA"), found)
    assert "not defined" in capsys.readouterr().out


def test_brackets_are_printed_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    show(advice("[x]", ":smile:"), None)
    said = capsys.readouterr().out
    assert all(text in said for text in ("why [not]", "[x]", ":smile:"))


@pytest.mark.parametrize("train", [1, 2])
def test_subjects_with_a_single_training_image_each_are_refused_in_one_line(
    train: int, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fabricate.faces(train=train).save(paths.FACES)
    if train > 1:
        main([])
        assert "probe" in capsys.readouterr().out
        return
    with pytest.raises(OriginError, match="no subject has two training images"):
        main([])
