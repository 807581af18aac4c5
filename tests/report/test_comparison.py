"""Validation alone chooses the best row; one that does better on test is named, and not chosen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from src.config import Experiment, Head
from src.evaluation.significance import holm, paired_test
from src.report import steps, words
from src.report.comparison import Comparison
from src.report.curves import LearningCurve
from tests import fabricate


def test_validation_alone_chooses_the_best() -> None:
    found = fabricate.results()
    assert found.best.name == "ModelA"
    assert found.reference.name == "Baseline"
    assert found.chance == pytest.approx(1 / 3)


def test_each_row_is_tested_against_baseline_and_adjusted_for_all_rows() -> None:
    made = fabricate.predictions(fabricate.faces())
    others = [name for name in fabricate.ACCURACY if name != "Baseline"]
    tests = [paired_test(made.correct(name), made.correct("Baseline")) for name in others]
    adjusted = dict(zip(others, holm([test.p for test in tests]), strict=True))
    for row in fabricate.results().rows:
        if row.name == "Baseline":
            assert row.against_reference is None
        else:
            assert row.against_reference is not None
            assert row.against_reference.p == adjusted[row.name]


def test_of_equals_the_one_that_trains_less_is_best() -> None:
    made = fabricate.predictions(fabricate.faces())
    trained = {
        "Baseline": fabricate.trained(0.8, trainable=10),
        "ModelA": fabricate.trained(0.8, trainable=1000),
    }
    assert fabricate.compare(trained, made).best.name == "Baseline"


def test_without_a_baseline_the_first_row_is_the_reference() -> None:
    made = fabricate.predictions(fabricate.faces())
    names = ("ModelC", "ModelA")
    trained = {name: fabricate.trained(0.8) for name in names}
    assert fabricate.compare(trained, made).reference.name == "ModelC"


def test_the_luck_of_the_test_images_never_enters_a_choice() -> None:
    """Turning test answers about changes figures, not the best row."""
    made = fabricate.predictions(fabricate.faces())
    spoilt = {name: np.roll(logits, 1, axis=-1) for name, logits in made.logits.items()}
    trained = {name: fabricate.trained(share) for name, share in fabricate.ACCURACY.items()}
    answered = replace(made, logits=spoilt)
    found = fabricate.compare(trained, answered)
    assert found.best.name == "ModelA"
    assert found.best.test.accuracy < fabricate.ACCURACY["ModelA"] / 2


def test_a_row_that_validation_chose_and_the_test_finds_worse_is_not_advised() -> None:
    found = disagreeing(seeds=3)
    assert found.best.name == "ModelC", "test images choose nothing"
    assert found.beating == tuple(row for row in found.rows if row.name != "ModelC")
    assert words.headline(found) == (
        "Validation and test disagree: ModelC leads on validation, "
        "but Baseline and ModelA do better on test"
    )
    paragraph = next(each for each in words.findings(found) if "disagree" in each)
    assert "do better than ModelC by more than chance can explain" in paragraph
    for row in found.beating:
        assert row.against_best is not None and row.against_best.p < 0.001
        assert f"{row.name} (adjusted p < 0.001)" in paragraph
    assert "ModelC stays the best row" in paragraph
    step = steps.next_step(found)
    assert "disagree about ModelC and Baseline and ModelA" in step.says
    assert step.command == steps.CROSSVALIDATE


def disagreeing(seeds: int, **accuracy: float) -> Comparison:
    """ModelC is best on validation, and on test worse than the other rows or as `accuracy` says."""
    test = {"Baseline": 0.9, "ModelA": 0.9, "ModelC": 0.5, **accuracy}
    made = fabricate.predictions(fabricate.faces(), test, seeds)
    trained = {name: fabricate.trained(0.9 if name == "ModelC" else 0.6) for name in test}
    return fabricate.compare(trained, made)


def test_a_row_that_beats_the_best_is_named_where_the_best_beats_the_reference() -> None:
    found = disagreeing(seeds=3, Baseline=0.2)
    assert [row.name for row in found.beating] == ["ModelA"]
    assert words.headline(found).endswith("but ModelA does better on test")
    said = " ".join(words.findings(found))
    assert "ModelA (adjusted p < 0.001) does better than ModelC by more than chance can" in said
    assert "Every other row" not in said
    assert "as sure as these images allow" not in steps.next_step(found).says


def test_where_the_reference_was_chosen_a_row_that_beats_it_on_test_is_named() -> None:
    test = {"Baseline": 0.5, "ModelA": 0.9}
    made = fabricate.predictions(fabricate.faces(), test, seeds=3)
    trained = {"Baseline": fabricate.trained(0.9), "ModelA": fabricate.trained(0.6)}
    found = fabricate.compare(trained, made)
    assert found.best is found.reference
    assert words.headline(found) == (
        "Validation and test disagree: Baseline leads on validation, but ModelA does better on test"
    )
    assert steps.next_step(found).command == steps.CROSSVALIDATE


def test_a_reference_that_is_better_in_its_own_family_of_tests_alone_is_not_as_good() -> None:
    found = disagreeing(seeds=3)
    weaker = {
        row.name: replace(row, against_best=replace(row.against_best, p=0.06))
        for row in found.rows
        if row.against_best
    }
    rows = tuple(weaker.get(row.name, row) for row in found.rows)
    now = replace(found, rows=rows, reference=weaker["Baseline"])
    assert [row.name for row in now.beating] == ["Baseline"]
    assert [row.name for row in now.as_good] == ["ModelA"]


def test_blocks_in_a_row_with_one_learning_rate_are_named_together() -> None:
    rates = {"head": 1.0, "conv5_x": 0.6, "conv4_x": 0.6, "conv3_x": 0.6, "base": 0.4}
    layerwise = Experiment(train=("all",), multipliers=rates, batch_size=8, epochs=1)
    row = replace(fabricate.results(Baseline=0.5).best, experiment=layerwise)
    assert row.trains == "everything, head × 1, conv5_x to conv3_x × 0.6, base × 0.4"


def test_blocks_that_begin_to_train_later_are_named() -> None:
    later = {"conv5_x": 1, "conv4_x": 3, "base": 5}
    gradual = Experiment(train=("all",), unfreeze_at=later, batch_size=8, epochs=8)
    row = replace(fabricate.results(Baseline=0.5).best, experiment=gradual)
    assert row.trains == "everything, conv4_x from epoch 3, base from epoch 5"
    ended = replace(row, experiment=gradual.model_copy(update={"freeze_at": {"base": 7}}))
    assert ended.trains.endswith(", base from epoch 5, base to epoch 6")


def test_the_front_has_no_row_that_another_beats_in_time_and_accuracy() -> None:
    made = fabricate.predictions(fabricate.faces())
    seconds = {"Baseline": 1.0, "ModelA": 5.0, "ModelC": 9.0, "ModelD-256-128-dropout": 2.0}
    trained = {
        name: fabricate.trained(share, seconds=seconds[name])
        for name, share in fabricate.ACCURACY.items()
    }
    found = fabricate.compare(trained, made)
    assert [row.name for row in found.front] == ["Baseline", "ModelA"]


@pytest.mark.parametrize(
    ("train", "best", "improving"),
    [
        ((0.2, 0.4, 0.6), 3, True),
        ((0.2, 0.4, 0.6), 2, False),  # an earlier epoch was kept
        ((0.5, 0.6, 0.605), 3, False),  # flat
        ((0.5, 0.8, 1.0), 3, False),  # nothing left to learn
        ((0.4,), 1, True),
    ],
)
def test_still_learning_is_a_last_epoch_that_was_kept_and_gained(
    train: tuple[float, ...], best: int, improving: bool
) -> None:
    assert LearningCurve(train, train, best).improving == improving


def test_a_last_epoch_that_was_kept_though_worse_than_others_does_not_call_for_more() -> None:
    train = (0.2, 0.4, 0.6)
    assert LearningCurve(train, (0.3, 0.4, 0.4), 3).improving
    assert not LearningCurve(train, (0.3, 0.5, 0.4), 3).improving


def test_a_head_that_is_fitted_once_was_not_stopped_while_it_learned() -> None:
    row = fabricate.results(Baseline=0.5).best
    learning = replace(row, trained=replace(row.trained, improving=True))
    svm = Experiment(train=("head",), head=Head(kind="svm"), batch_size=8, epochs=1)
    assert learning.improving and not replace(learning, experiment=svm).improving
