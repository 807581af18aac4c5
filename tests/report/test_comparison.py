"""The report claims no more than the tests allow."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import pytest

from src.config import Experiment, Head
from src.config.presets import read_preset
from src.evaluation.predictions import Predictions
from src.evaluation.significance import holm, paired_test
from src.report import formats, steps, words
from src.report.comparison import Comparison
from src.report.curves import LearningCurve
from tests import fabricate
from tests.shipped import SHIPPED


def results(**accuracy: float) -> Comparison:
    names = {**fabricate.ACCURACY, **accuracy}
    made = fabricate.predictions(fabricate.faces(), names)
    trained = {name: fabricate.trained(share) for name, share in names.items()}
    return fabricate.compare(trained, made)


def test_validation_alone_chooses_the_best() -> None:
    found = results()
    assert found.best.name == "ModelA"
    assert found.reference.name == "Baseline"
    assert found.chance == pytest.approx(1 / 3)


def test_each_row_is_tested_against_baseline_and_adjusted_for_all_rows() -> None:
    made = fabricate.predictions(fabricate.faces())
    others = [name for name in fabricate.ACCURACY if name != "Baseline"]
    tests = [paired_test(made.correct(name), made.correct("Baseline")) for name in others]
    adjusted = dict(zip(others, holm([test.p for test in tests]), strict=True))
    for row in results().rows:
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


def test_the_headline_of_a_clear_winner_says_what_to_unfreeze() -> None:
    found = results()
    headline = words.headline(found)
    assert headline.startswith("Unfreeze conv5_x: ")
    assert formats.percent(found.best.test.accuracy) in headline
    said = " ".join(words.findings(found))
    assert "more than chance can explain (exact McNemar test, adjusted p < 0.001)" in said
    assert "cannot tell it apart from ModelC" in said


def crossed(trained: dict[str, tuple[float, int]], seeds: int = 3) -> Comparison:
    """Rows with the given accuracies and numbers of trainable parameters."""
    accuracy = {name: share for name, (share, _) in trained.items()}
    made = fabricate.predictions(fabricate.faces(), accuracy, seeds)
    summaries = {
        name: fabricate.trained(share, trainable=count) for name, (share, count) in trained.items()
    }
    return fabricate.compare(summaries, made)


@pytest.mark.parametrize("seeds", [1, 3])
def test_the_headline_advises_the_least_training_that_is_not_shown_to_be_worse(seeds: int) -> None:
    rows = {"Baseline": (0.5, 1), "ModelA": (0.89, 100), "ModelC": (0.9, 1000)}
    found = crossed(rows, seeds)
    model_a = next(row for row in found.rows if row.name == "ModelA")
    assert found.best.name == "ModelC"
    assert found.simplest == model_a
    headline = words.headline(found)
    assert headline.startswith("Unfreeze conv5_x, training more is not shown to help: ")
    share = formats.percent(model_a.test.accuracy)
    assert f"{share} of test images identified correctly by ModelA, against" in headline
    model_c = replace(found.best, trained=replace(found.best.trained, improving=True))
    rows_now = tuple(model_c if row is found.best else row for row in found.rows)
    unfinished = replace(found, rows=rows_now, best=model_c)
    assert words.headline(unfinished).startswith("Unfreeze conv5_x, perhaps more: ")
    if seeds > 1:
        step = steps.next_step(found)
        assert "too few to tell ModelC from ModelA" in step.says
        assert step.command == "python -m src.crossvalidate"


def test_a_row_that_validation_chose_and_the_test_finds_worse_is_not_advised() -> None:
    found = disagreeing(seeds=3)
    assert found.best.name == "ModelC", "test images choose nothing"
    assert found.beating == tuple(row for row in found.rows if row.name != "ModelC")
    assert words.headline(found) == (
        "Validation and test disagree: ModelC leads on validation, "
        "but Baseline and ModelA do better on test"
    )
    paragraph = next(each for each in words.findings(found) if "disagree" in each)
    assert "Baseline and ModelA do better than ModelC by more than chance can explain" in paragraph
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
    assert "ModelA does better than ModelC by more than chance can explain" in said
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


def test_rows_that_are_all_worse_than_the_best_are_called_worse() -> None:
    said = " ".join(words.findings(crossed({"Baseline": (0.3, 1), "ModelA": (0.9, 100)})))
    assert "Every other row does worse on these images by more than chance can explain." in said
    assert "disagree" not in said


def test_training_less_is_not_advised_where_it_is_no_better_than_the_reference() -> None:
    rows = {"Baseline": (0.5, 1), "ModelD-256-128-dropout": (0.52, 10), "ModelC": (0.9, 1000)}
    found = crossed(rows)
    assert found.simplest.name == found.best.name == "ModelC"
    assert words.headline(found).startswith("Unfreeze everything: ")


def test_a_lead_that_chance_explains_is_no_winner() -> None:
    found = results(ModelA=0.54, ModelC=0.5)
    assert words.headline(found).startswith("No clear winner: ModelA")
    assert "which chance can explain" in " ".join(words.findings(found))


@pytest.mark.parametrize(("labels", "warned"), [([0, 0, 0, 0, 0, 1], True), ([0, 1] * 3, False)])
def test_where_one_subject_is_most_of_the_test_accuracy_is_called_misleading(
    labels: list[int], warned: bool
) -> None:
    answers = Predictions(
        {"ModelC": np.eye(2, dtype=np.float32)[[[0] * 6]]},
        np.array(labels),
        np.arange(6),
        ("ann", "bob"),
    )
    found = fabricate.compare({"ModelC": fabricate.trained(0.9)}, answers)
    said = " ".join(words.findings(found))
    assert ("correct for 83.3% of the test images: compare macro F1" in said) == warned


def test_a_frozen_network_can_be_the_answer() -> None:
    found = results(**{"Baseline": 0.95, "ModelA": 0.5, "ModelC": 0.5})
    assert words.headline(found).startswith("Keep the network frozen and train a new linear head")


def test_a_single_experiment_is_reported_without_comparisons() -> None:
    made = fabricate.predictions(fabricate.faces(), {"ModelC": 0.9})
    found = fabricate.compare({"ModelC": fabricate.trained(0.9)}, made)
    assert words.headline(found).startswith("Unfreeze everything")
    assert len(words.findings(found)) == 1


@pytest.mark.parametrize(
    ("start", "unfrozen", "said"),
    [
        ("source", (), "Keep the network frozen and train a new linear head on {}"),
        ("source", ("conv4_x",), "Unfreeze conv4_x, with the head on {}"),
        ("source", ("all",), "Unfreeze everything, with the head on {}"),
        ("scratch", ("all",), "Train from scratch, with the head on {}"),
        ("scratch", (), "Keep a random network frozen and train a new linear head on {}"),
    ],
)
def test_advice_names_the_features_that_the_head_reads(
    start: Literal["source", "scratch"], unfrozen: tuple[str, ...], said: str
) -> None:
    cut = Experiment(
        train=("head", *unfrozen), start=start, features="conv4_x", batch_size=8, epochs=1
    )
    row = replace(results(Baseline=0.5).best, experiment=cut, unfrozen=unfrozen)
    assert words.advice(row) == said.format("the features of conv4_x")


def test_blocks_in_a_row_with_one_learning_rate_are_named_together() -> None:
    rates = {"head": 1.0, "conv5_x": 0.6, "conv4_x": 0.6, "conv3_x": 0.6, "base": 0.4}
    layerwise = Experiment(train=("all",), multipliers=rates, batch_size=8, epochs=1)
    row = replace(results(Baseline=0.5).best, experiment=layerwise)
    assert row.trains == "everything, head × 1, conv5_x to conv3_x × 0.6, base × 0.4"


def test_blocks_that_begin_to_train_later_are_named() -> None:
    later = {"conv5_x": 1, "conv4_x": 3, "base": 5}
    gradual = Experiment(train=("all",), unfreeze_at=later, batch_size=8, epochs=8)
    row = replace(results(Baseline=0.5).best, experiment=gradual)
    assert row.trains == "everything, conv4_x from epoch 3, base from epoch 5"


@pytest.mark.parametrize(
    ("p", "text"),
    [(0.0, "p < 0.001"), (0.0012, "p = 0.001"), (0.0499, "p = 0.050"), (0.5, "p = 0.50")],
)
def test_p_values_read_as_in_papers(p: float, text: str) -> None:
    assert formats.p_value(p) == text


def test_differences_carry_a_real_minus_sign() -> None:
    assert formats.points(-0.123) == "−12.3"
    assert formats.points(0.0) == "+0.0"


def test_numbers_of_parameters_are_short() -> None:
    assert [formats.count(n) for n in (512, 51_300, 11_227_812)] == ["512", "51.3 k", "11.2 M"]


def test_the_luck_of_the_test_images_never_enters_a_choice() -> None:
    """Turning test answers about changes figures, not the best row."""
    made = fabricate.predictions(fabricate.faces())
    spoilt = {name: np.roll(logits, 1, axis=-1) for name, logits in made.logits.items()}
    trained = {name: fabricate.trained(share) for name, share in fabricate.ACCURACY.items()}
    answered = replace(made, logits=spoilt)
    found = fabricate.compare(trained, answered)
    assert found.best.name == "ModelA"
    assert found.best.test.accuracy < fabricate.ACCURACY["ModelA"] / 2


def test_where_validation_chose_some_epochs_the_note_names_their_rows() -> None:
    made = fabricate.predictions(fabricate.faces())
    trained = {
        name: fabricate.trained(share, selected=name == "ModelC")
        for name, share in fabricate.ACCURACY.items()
    }
    found = fabricate.compare(trained, made)
    assert words.validation(found) == "validation, kept epoch"
    assert "That of ModelC is the best of its epochs" in words.validation_note(found)


def test_a_claim_of_better_says_that_it_rests_on_one_seed() -> None:
    found = results()
    assert "from one seed" in words.headline(found)
    said = words.findings(found)
    assert "Against Baseline on these images, ModelA and ModelC do better by more" in said[-2]
    assert "says nothing about what another seed would give" in said[-1]


def crossed_results(**seeds: int) -> Comparison:
    """A comparison of rows with so many seeds each."""
    made = fabricate.predictions(fabricate.faces(), seeds=max(seeds.values()))
    logits = {name: made.logits[name][:count] for name, count in seeds.items()}
    made = Predictions(logits, made.labels, made.rows, made.subjects)
    trained = {name: fabricate.trained(fabricate.ACCURACY[name]) for name in seeds}
    return fabricate.compare(trained, made)


def test_with_several_seeds_everywhere_the_tests_are_over_seeds() -> None:
    found = crossed_results(Baseline=3, ModelA=3)
    assert "means of 3 seeds each" in words.headline(found)
    said = " ".join(words.findings(found))
    assert "t test over seeds and images" in said and "McNemar" not in said


def test_where_one_side_has_one_seed_the_text_says_which_rows_that_concerns() -> None:
    found = crossed_results(Baseline=3, ModelA=3, ModelC=1)
    assert "But for ModelC one side has one seed only" in words.tested(found)
    assert "means of 3 seeds each" in words.headline(found)


def test_a_row_that_trains_more_and_was_still_learning_leaves_the_question_open() -> None:
    test = {"Baseline": 0.9, "ModelC": 0.6}
    made = fabricate.predictions(fabricate.faces(), test)
    trained = {
        "Baseline": fabricate.trained(0.9),
        "ModelC": fabricate.trained(0.6, trainable=10**7, epochs=3, improving=True),
    }
    found = fabricate.compare(trained, made)
    assert words.headline(found) == "Not settled: Baseline leads, but ModelC had too few epochs"
    assert "ModelC was still improving at its last epoch" in words.findings(found)[-1]
    assert steps.next_step(found).command == "dvc exp run -S experiments.ModelC.epochs=6"


def test_the_next_step_is_more_seeds_then_more_images_then_the_networks_use() -> None:
    assert steps.next_step(results()).command == "dvc exp run -S seeds=5"
    found = crossed_results(Baseline=3, ModelA=3)
    assert "models/ModelA.safetensors" in steps.next_step(found).command
    close = crossed_results(ModelC=3, ModelA=3)
    assert steps.next_step(close).command == "python -m src.crossvalidate"


@pytest.mark.parametrize(
    ("seeds", "command"),
    [
        ({"Baseline": None, "ModelA": None}, "-S seeds=5"),
        ({"Baseline": None, "ModelA": 1}, "-S seeds=5 -S experiments.ModelA.seeds=null"),
        (
            {"Baseline": None, "ModelD-best": 1},
            "-S seeds=5 -S tune/best.yaml:best.ModelD-best.seeds=null",
        ),
        (
            {"Baseline": None, "ModelA": 1, "ModelB": 1, "ModelC": 1},
            "$(python -m src.preset seeds)",
        ),
        (
            {"Baseline": 1, "ModelA": 1, "ModelB": 1, "ModelC": 1},
            "$(python -m src.preset seeds) -S experiments.Baseline.seeds=null",
        ),
    ],
)
def test_more_seeds_are_asked_for_in_every_row(seeds: dict[str, int | None], command: str) -> None:
    experiments = {
        name: Experiment(train=("head",), batch_size=8, epochs=4, seeds=own)
        for name, own in seeds.items()
    }
    made = fabricate.predictions(fabricate.faces(), dict.fromkeys(seeds, 0.5))
    trained = {name: fabricate.trained(0.5) for name in seeds}
    found = fabricate.compare(trained, made, experiments)
    assert steps.next_step(found).command == f"dvc exp run {command}"


def test_the_preset_of_seeds_changes_the_rows_that_the_next_step_takes_it_to_change() -> None:
    preset = read_preset("seeds", SHIPPED)
    assert preset["experiments"] == {name: {"seeds": None} for name in steps.PRESET_ROWS}
    assert preset["seeds"] == 5


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
    row = results(Baseline=0.5).best
    learning = replace(row, trained=replace(row.trained, improving=True))
    svm = Experiment(train=("head",), head=Head(kind="svm"), batch_size=8, epochs=1)
    assert learning.improving and not replace(learning, experiment=svm).improving
