"""Two runs' stored answers, compared."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from src.data.faceset import Split
from src.errors import StaleInputError
from src.evaluation.difference import differences, main
from src.evaluation.predictions import Predictions
from tests import fabricate

LABELS = np.array([0, 1, 0, 1, 0, 1, 0, 1])


def stored(
    path: Path,
    right: dict[str, int],
    labels: np.ndarray = LABELS,
    first_row: int = 0,
    images: str = "",
) -> Path:
    """Answers of which the first few of each experiment are right."""
    answers = {
        name: np.eye(2, dtype=np.float32)[np.where(np.arange(8) < count, labels, 1 - labels)][None]
        for name, count in right.items()
    }
    rows, subjects = np.arange(8) + first_row, ("ann", "bob")
    Predictions(answers, labels, rows, subjects, images=images).save(path)
    return path


def test_each_experiment_is_compared_with_itself_on_the_same_images(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a = stored(tmp_path / "a", {"Baseline": 2, "ModelA": 1, "Gone": 3})
    b = stored(tmp_path / "b", {"Baseline": 2, "ModelA": 8, "New": 3})
    main([str(a), str(b), "--json"])
    baseline, model = json.loads(capsys.readouterr().out)
    assert (baseline["experiment"], model["experiment"]) == ("Baseline", "ModelA")
    assert baseline["paired"]["p"] == 1.0
    assert (model["earlier"], model["later"]) == (1 / 8, 1.0)
    assert model["paired"]["only_first"] == 7, "the later run's"
    assert model["paired"]["p"] == pytest.approx(2 / 2**7)
    assert model["holm"] == pytest.approx(2 * model["paired"]["p"])
    main([str(a), str(b)])
    assert "+87.5" in capsys.readouterr().out


def test_names_are_shown_as_they_are_but_for_control_characters(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ("[red]", "x[/x]", ":cat:", "a\x1b[2J")
    run = str(stored(tmp_path / "a", dict.fromkeys(names, 2)))
    main([run, run])
    shown = capsys.readouterr().out
    assert all(name in shown for name in (*names[:3], r"a\x1b[2J"))
    assert "\x1b" not in shown


def test_asking_about_fewer_costs_less(tmp_path: Path) -> None:
    a = stored(tmp_path / "a", {"Baseline": 2, "ModelA": 1})
    b = stored(tmp_path / "b", {"Baseline": 2, "ModelA": 8})
    (change,) = differences(a, b, ["ModelA"])
    assert change.holm == change.paired.p


def test_other_images_or_experiments_are_refused(tmp_path: Path) -> None:
    a = stored(tmp_path / "a", {"Baseline": 2})
    with pytest.raises(StaleInputError, match="is for other test images"):
        differences(a, stored(tmp_path / "b", {"Baseline": 2}, 1 - LABELS), None)
    with pytest.raises(StaleInputError, match="is for other test images"):
        differences(a, stored(tmp_path / "b", {"Baseline": 2}, first_row=1), None)
    with pytest.raises(StaleInputError, match=r"no experiment ModelZ with .*they share: Baseline"):
        differences(a, a, ["ModelZ"])
    with pytest.raises(StaleInputError, match="they share: none"):
        differences(a, stored(tmp_path / "c", {"ModelA": 2}), None)


def test_other_images_in_the_same_rows_are_refused_unless_they_are_said_to_be_packed_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = (str(stored(tmp_path / name, {"Baseline": 2}, images=name)) for name in "ab")
    with pytest.raises(StaleInputError, match=r"is for other test images .*--repacked"):
        main([a, b])
    main([a, b, "--repacked"])
    assert "Baseline" in capsys.readouterr().out


def test_images_are_known_by_their_pixels_order_and_size() -> None:
    faces = fabricate.faces()
    rows = faces.rows(Split.test)
    known = faces.digest(rows)
    assert faces.digest(rows.clone()) == known
    assert faces.digest(rows.flip(0)) != known != faces.digest(rows[1:])
    other = faces.images.clone()
    other[rows[3], 0, 0, 0] ^= 1
    assert replace(faces, images=other).digest(rows) != known
    assert replace(faces, images=faces.images.flatten(2)[..., None]).digest(rows) != known


def test_runs_with_several_seeds_are_compared_over_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, seeds in (("a", [[1, 2, 3]]), ("b", [[6, 7, 8]])):
        counts = np.array(seeds).T
        right = np.where(np.arange(8) < counts, LABELS, 1 - LABELS)
        logits = {"ModelA": np.eye(2, dtype=np.float32)[right]}
        Predictions(logits, LABELS, np.arange(8), ("ann", "bob")).save(tmp_path / name)
    (change,) = differences(tmp_path / "a", tmp_path / "b", None)
    assert (change.earlier, change.later) == (2 / 8, 7 / 8)
    assert change.paired.over_seeds and change.paired.difference == pytest.approx(5 / 8)
    main([str(tmp_path / "a"), str(tmp_path / "b")])
    assert "seeds" in capsys.readouterr().out
