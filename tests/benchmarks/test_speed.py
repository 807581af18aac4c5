"""The engine is compared with plain loops: in time, in accuracy, and over all experiments."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch

from benchmarks import accuracy, plain, speed, table
from src import paths
from src.data.faceset import Split
from src.errors import ConfigError
from src.training.job import StartingPoint
from tests.benchmarks.projects import change_params

PROMISED = {
    "experiment",
    "seconds_per_epoch",
    "plain_seconds_per_epoch",
    "ratio",
    "accuracy",
    "plain_accuracy",
    "peak_memory_mb",
    "floor_seconds_per_epoch",
}
pytestmark = pytest.mark.usefixtures("project")


@pytest.mark.long
def test_both_sides_are_trained_to_the_end_and_compared(capsys: pytest.CaptureFixture[str]) -> None:
    speed.main(["--experiment", "ModelA", "--epochs", "6", "--repeats", "2", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found.keys() >= PROMISED
    assert found["ratio_low"] <= found["ratio"] <= found["ratio_high"]
    assert found["accuracy"] == found["plain_accuracy"] == 1.0, "colours are easy for both"
    assert len(found["accuracies"]) == len(found["plain_accuracies"]) == 2, "one of every seed"
    assert found["projected"] is None
    assert found["startup_seconds"] > 0


@pytest.mark.long
def test_a_projection_says_so_and_finishes_on_what_is_frozen(
    capsys: pytest.CaptureFixture[str],
) -> None:
    speed.main(["--experiment", "Baseline", "--plain-epochs", "2"])
    printed = capsys.readouterr().out
    assert "projected from 2" in printed and "finished on stored outputs" in printed
    speed.main(["--experiment", "Baseline", "--plain-epochs", "2", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["plain_accuracy"] is not None and found["projected"] == 2


@pytest.mark.long
def test_the_plain_loops_terms_are_taken_and_named(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--experiment", "Baseline", "--plain-dtype", "bfloat16", "--plain-cached"]
    speed.main(options)
    assert "s/epoch in bfloat16, caching included\n" in capsys.readouterr().out
    speed.main([*options, "--json"])
    found = json.loads(capsys.readouterr().out)
    assert (found["plain_dtype"], found["plain_cached"]) == ("bfloat16", True)
    with pytest.raises(ConfigError, match="nothing to cache"):
        speed.main(["--experiment", "ModelC", "--plain-cached"])


@pytest.mark.long
def test_a_projection_of_what_is_nowhere_frozen_claims_no_accuracy(
    capsys: pytest.CaptureFixture[str],
) -> None:
    speed.main(["--experiment", "ModelC", "--epochs", "3", "--plain-epochs", "2"])
    assert "not run to the end" in capsys.readouterr().out
    speed.main(["--experiment", "ModelC", "--epochs", "3", "--plain-epochs", "2", "--json"])
    assert json.loads(capsys.readouterr().out)["plain_accuracy"] is None


def test_images_divided_anew_are_as_many_of_each_subject_in_each_split() -> None:
    given = StartingPoint.load(paths.FACES, paths.SOURCE)
    anew = accuracy.divided_anew(given, 1)
    assert anew.faces_digest != given.faces_digest
    assert not torch.equal(anew.faces.split, given.faces.split)
    for split in Split:
        counts = [
            faces.labels[faces.rows(split)].bincount(minlength=len(faces.subjects))
            for faces in (given.faces, anew.faces)
        ]
        assert torch.equal(*counts)
    again, other = accuracy.divided_anew(given, 1), accuracy.divided_anew(given, 2)
    assert torch.equal(again.faces.split, anew.faces.split)
    assert not torch.equal(other.faces.split, anew.faces.split)


@pytest.mark.long
def test_accuracies_are_compared_over_seeds_where_something_is_frozen(
    capsys: pytest.CaptureFixture[str],
) -> None:
    accuracy.main(["--experiment", "Baseline", "ModelA", "--seeds", "3", "--json"])
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each["experiment"] for each in found] == ["Baseline", "ModelA"]
    for each in found:
        assert len(each["accuracies"]) == len(each["reference_accuracies"]) == 3
    accuracy.main(["--experiment", "Baseline", "--seeds", "2", "--resplit", "--json"])
    assert len(json.loads(capsys.readouterr().out)["accuracies"]) == 2
    with pytest.raises(ConfigError, match="it freezes nothing"):
        accuracy.main(["--experiment", "ModelC"])


def test_a_difference_has_its_standard_error_where_there_are_several_seeds() -> None:
    assert accuracy.points([0.5], [0.49]) == "+1.00"
    differences = [1.0, -2.0, 4.0]
    error = np.std(differences, ddof=1) / 3**0.5
    engine = [0.5 + each / 100 for each in differences]
    assert accuracy.points(engine, [0.5] * 3) == f"+1.00 ± {error:.2f}"


@pytest.mark.parametrize(("margin", "within"), [(1.0, False), (2.5, True)])
def test_no_worse_is_claimed_only_where_the_whole_interval_is_above_the_margin(
    margin: float, within: bool
) -> None:
    engine, plain = np.array([0.62, 0.60, 0.64, 0.61]), np.array([0.61, 0.62, 0.62, 0.61])
    found = accuracy.NonInferiorityTest.of(
        experiment="Baseline",
        epochs=1,
        accuracies=engine.tolist(),
        reference_accuracies=plain.tolist(),
        margin=margin,
    )
    expected = scipy.stats.ttest_rel(100 * engine, 100 * plain).confidence_interval()
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.within == within and -2.5 < found.low < -1.0
    assert ("no worse" in str(found)) == within


@pytest.mark.long
def test_the_table_trains_every_experiment_and_adds_them_up(
    capsys: pytest.CaptureFixture[str],
) -> None:
    table.main(["--warm-up", "--json"])
    found = json.loads(capsys.readouterr().out)
    rows = {row["experiment"]: row for row in found["rows"]}
    assert list(rows) == ["Baseline", "ModelA", "ModelC"]
    assert found["epochs"] == 3 + 2 + 2
    assert all(row["peak_memory_mb"] > 50 for row in found["rows"])
    work = [rows[name]["flops"] for name in ("Baseline", "ModelA", "ModelC")]
    assert work == sorted(work) and work[0] > 0, "the more trains, the more there is to do"
    assert found["seconds"] == pytest.approx(sum(row["seconds"] for row in rows.values()))
    assert found["ratio"] == pytest.approx(found["plain_seconds"] / found["seconds"])
    table.main(["--experiment", "Baseline", "--epochs", "1", "--no-plain"])
    header, row, total, _device = capsys.readouterr().out.splitlines()
    assert header.split()[:3] == ["experiment", "epochs", "s"]
    assert row.split()[:2] == ["Baseline", "1"] and total.split()[:2] == ["all", "1"]


HEAD = {"train": ["head"], "batch_size": 8}


def test_what_the_plain_loop_cannot_train_is_timed_without_it(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without running it: only for how many epochs it is asked."""
    asked: list[int] = []

    def train_plain(_job: Any, _folder: Path, epochs: int, *_: Any, **__: Any) -> plain.PlainRun:
        asked.append(epochs)
        return plain.PlainRun((1.0,) * epochs, None)

    monkeypatch.setattr(plain, "train_plain", train_plain)
    centroid = {**HEAD, "head": {"kind": "centroid"}, "epochs": 1}
    change_params(project, {"experiments": {"Centroid": centroid}})
    table.main(["--experiment", "Centroid", "Baseline", "--epochs", "1", "--json"])
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert [row["plain_seconds"] for row in found["rows"]] == [None, 1.0]
    assert found["ratio"] is None and found["seconds"] > 0
    assert "does not support a centroid head" in said.err
    assert asked == [1], "no more epochs than it has"


def test_a_row_that_found_its_features_cached_has_no_ratio_and_no_floor(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change_params(project, {"experiments": {"Other": {**HEAD, "epochs": 2}}})
    table.main(["--experiment", "Baseline", "Other", "ModelA", "--no-plain", "--json"])
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["cached"] for row in rows] == [False, True, False]
    assert [row["flops"] is None for row in rows] == [False, True, False]
    for cached, shown in ((False, "10.0x"), (True, "cached")):
        row = table.ExperimentTiming("Any", 1, 2.0, 20.0, 0.5, None, 1.0, cached)
        assert str(row).split() == ["Any", "1", "2.0", "20", shown, "50.0%"]
