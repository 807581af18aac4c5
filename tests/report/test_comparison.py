"""The report claims no more than the tests allow."""

from __future__ import annotations

import numpy as np
import pytest

from src.evaluation.metrics import score
from src.evaluation.predictions import Predictions
from src.evaluation.significance import holm, paired_test
from src.report import words
from src.report.comparison import Comparison, compare_experiments
from tests import fabricate


def results(**accuracy: float) -> Comparison:
    names = {**fabricate.ACCURACY, **accuracy}
    experiments = {name: fabricate.EXPERIMENTS[name] for name in names}
    made = fabricate.predictions(fabricate.faces(), names)
    trained = {name: fabricate.trained(share) for name, share in names.items()}
    scores = {name: score(logits, made.labels) for name, logits in made.logits.items()}
    return compare_experiments(experiments, trained, scores, made)


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
    scores = {name: score(made.logits[name], made.labels) for name in trained}
    experiments = {name: fabricate.EXPERIMENTS[name] for name in trained}
    assert compare_experiments(experiments, trained, scores, made).best.name == "Baseline"


def test_without_a_baseline_the_first_row_is_the_reference() -> None:
    made = fabricate.predictions(fabricate.faces())
    names = ("ModelC", "ModelA")
    trained = {name: fabricate.trained(0.8) for name in names}
    scores = {name: score(made.logits[name], made.labels) for name in names}
    experiments = {name: fabricate.EXPERIMENTS[name] for name in names}
    assert compare_experiments(experiments, trained, scores, made).reference.name == "ModelC"


def test_the_headline_of_a_clear_winner_says_what_to_unfreeze() -> None:
    found = results()
    headline = words.headline(found)
    assert headline.startswith("Unfreeze conv5_x: ")
    assert words.percent(found.best.test.accuracy) in headline
    said = " ".join(words.findings(found))
    assert "more than chance can explain (exact McNemar test, adjusted p < 0.001)" in said
    assert "cannot tell it apart from ModelC" in said


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
    scores = {"ModelC": score(answers.logits["ModelC"], answers.labels)}
    experiments = {"ModelC": fabricate.EXPERIMENTS["ModelC"]}
    found = compare_experiments(experiments, {"ModelC": fabricate.trained(0.9)}, scores, answers)
    said = " ".join(words.findings(found))
    assert ("correct for 83.3% of the test images: compare macro F1" in said) == warned


def test_a_frozen_network_can_be_the_answer() -> None:
    found = results(**{"Baseline": 0.95, "ModelA": 0.5, "ModelC": 0.5})
    assert words.headline(found).startswith("Keep the network frozen and train a new linear head")


def test_a_single_experiment_is_reported_without_comparisons() -> None:
    made = fabricate.predictions(fabricate.faces(), {"ModelC": 0.9})
    scores = {"ModelC": score(made.logits["ModelC"], made.labels)}
    experiments = {"ModelC": fabricate.EXPERIMENTS["ModelC"]}
    found = compare_experiments(experiments, {"ModelC": fabricate.trained(0.9)}, scores, made)
    assert words.headline(found).startswith("Unfreeze everything")
    assert len(words.findings(found)) == 1


@pytest.mark.parametrize(
    ("p", "text"),
    [(0.0, "p < 0.001"), (0.0012, "p = 0.001"), (0.0499, "p = 0.050"), (0.5, "p = 0.50")],
)
def test_p_values_read_as_in_papers(p: float, text: str) -> None:
    assert words.p_value(p) == text


def test_differences_carry_a_real_minus_sign() -> None:
    assert words.points(-0.123) == "−12.3"
    assert words.points(0.0) == "+0.0"


def test_numbers_of_parameters_are_short() -> None:
    assert [words.count(n) for n in (512, 51_300, 11_227_812)] == ["512", "51.3 k", "11.2 M"]


def test_the_luck_of_the_test_images_never_enters_a_choice() -> None:
    """Turning test answers about changes figures, not the best row."""
    made = fabricate.predictions(fabricate.faces())
    spoilt = {name: np.roll(logits, 1, axis=-1) for name, logits in made.logits.items()}
    trained = {name: fabricate.trained(share) for name, share in fabricate.ACCURACY.items()}
    scores = {name: score(logits, made.labels) for name, logits in spoilt.items()}
    assert compare_experiments(fabricate.EXPERIMENTS, trained, scores, made).best.name == "ModelA"


def test_where_validation_chose_some_epochs_the_note_names_their_rows() -> None:
    made = fabricate.predictions(fabricate.faces())
    trained = {
        name: fabricate.trained(share, selected=name == "ModelC")
        for name, share in fabricate.ACCURACY.items()
    }
    scores = {name: score(logits, made.labels) for name, logits in made.logits.items()}
    found = compare_experiments(fabricate.EXPERIMENTS, trained, scores, made)
    assert words.validation(found) == "validation, kept epoch"
    assert "That of ModelC is the best of its epochs" in words.validation_note(found)


def test_a_claim_of_better_says_that_it_rests_on_one_seed() -> None:
    found = results()
    assert "from one seed" in words.headline(found)
    said = words.findings(found)
    assert "Against Baseline on these images, ModelA and ModelC do better by more" in said[-2]
    assert "say nothing about what another seed would give" in said[-1]
