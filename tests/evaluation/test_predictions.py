"""Predictions survive a file, and the worst of them are found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from src.data.faceset import Split
from src.errors import StaleInputError
from src.evaluation import published
from src.evaluation.figures import confusion_figure, mistakes_figure, worst_subjects_figure
from src.evaluation.metrics import per_subject
from src.evaluation.mistakes import worst_mistakes, worst_subjects
from src.evaluation.predictions import Predictions
from src.plotting import save_png
from tests import fabricate


def test_a_file_of_predictions_reads_back_and_has_the_same_bytes(tmp_path: Path) -> None:
    made = fabricate.predictions(fabricate.faces())
    made.save(tmp_path / "a")
    made.save(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    read = Predictions.load(tmp_path / "a")
    assert (read.subjects, tuple(read.logits)) == (made.subjects, tuple(made.logits))
    np.testing.assert_array_equal(read.logits["ModelA"], made.logits["ModelA"])
    np.testing.assert_array_equal(read.rows, made.rows)


def test_another_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"nothing")
    with pytest.raises(StaleInputError, match="dvc repro evaluate"):
        Predictions.load(tmp_path / "x")


def test_worst_mistakes_are_wrong_and_ordered_by_confidence() -> None:
    faces = fabricate.faces()
    made = fabricate.predictions(faces)
    found = worst_mistakes(faces, made, "Baseline", 8)
    assert len(found) == 8
    assert all(m.actual != m.predicted for m in found)
    assert [m.probability for m in found] == sorted((m.probability for m in found), reverse=True)
    wrong = ~made.correct("Baseline")[0]
    assert found[0].probability == made.probabilities("Baseline")[wrong].max()


def test_the_lookalike_is_the_nearest_training_image_of_the_predicted_subject() -> None:
    faces = fabricate.faces()
    mistake = worst_mistakes(faces, fabricate.predictions(faces), "Baseline", 1)[0]
    rows = [
        row
        for row in faces.rows(Split.train).tolist()
        if int(faces.labels[row]) == mistake.predicted
    ]
    image = faces.images[mistake.row].double()
    nearest = min(rows, key=lambda row: float(((faces.images[row].double() - image) ** 2).sum()))
    assert mistake.lookalike == nearest


def test_worst_subjects_have_the_lowest_recall_and_are_not_perfect() -> None:
    labels, predicted = np.array([0, 0, 1, 1, 2]), np.array([0, 1, 2, 2, 2])
    scores = per_subject(labels, predicted, ("half", "none", "all", "absent"))
    assert worst_subjects(scores, 5) == (1, 0)


def test_figures_have_the_same_bytes_twice_with_any_characters_in_names(tmp_path: Path) -> None:
    faces = fabricate.faces()
    made = fabricate.predictions(faces)
    scores = per_subject(made.labels, made.predicted("Baseline"), made.subjects)
    for turn in ("a", "b"):
        mistakes = worst_mistakes(faces, made, "Baseline", 5)
        save_png(confusion_figure(made, "Baseline"), tmp_path / f"confusion-{turn}")
        save_png(mistakes_figure(faces, mistakes, made.subjects), tmp_path / f"mistakes-{turn}")
        figure = worst_subjects_figure(faces, made, "Baseline", scores)
        save_png(figure, tmp_path / f"subjects-{turn}")
    for name in ("confusion", "mistakes", "subjects"):
        content = (tmp_path / f"{name}-a").read_bytes()
        assert content.startswith(b"\x89PNG")
        assert content == (tmp_path / f"{name}-b").read_bytes()


def test_a_perfect_result_has_figures_too(tmp_path: Path) -> None:
    faces = fabricate.faces()
    made = fabricate.predictions(faces, {"ModelA": 1.0})
    scores = per_subject(made.labels, made.predicted("ModelA"), made.subjects)
    save_png(mistakes_figure(faces, (), made.subjects), tmp_path / "a")
    save_png(worst_subjects_figure(faces, made, "ModelA", scores), tmp_path / "b")


def test_the_published_table_has_ten_rows_and_their_curves_end_near_it() -> None:
    table, curves = published.table(), published.curves()
    assert len(table) == 10
    assert table["Baseline"].test_accuracy == 0.619
    assert {name: len(curve) for name, curve in curves.items()} == {
        name: row.epochs for name, row in table.items()
    }
    for name, row in table.items():
        assert curves[name][-1] == pytest.approx(row.test_accuracy, abs=0.02)
