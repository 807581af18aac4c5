"""The report claims no more than the tests allow, and advises what would tell more."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import pytest

from src.config import Experiment
from src.config.presets import read_preset
from src.evaluation.predictions import Predictions
from src.report import formats, steps, words
from src.report.comparison import Comparison
from tests import fabricate
from tests.shipped import SHIPPED


def test_the_headline_of_a_clear_winner_says_what_to_unfreeze() -> None:
    found = fabricate.results()
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
    found = fabricate.results(ModelA=0.54, ModelC=0.5)
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
    found = fabricate.results(**{"Baseline": 0.95, "ModelA": 0.5, "ModelC": 0.5})
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
    row = replace(fabricate.results(Baseline=0.5).best, experiment=cut, unfrozen=unfrozen)
    assert words.advice(row) == said.format("the features of conv4_x")


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
    found = fabricate.results()
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
    assert "ModelC has one seed only" in words.tested(found)
    assert "McNemar" not in words.tested(found)
    assert "means of 3 seeds each" in words.headline(found)
    found = crossed_results(Baseline=1, ModelA=3, ModelC=1)
    assert "Baseline and ModelC have one seed only" in words.tested(found)
    assert "by the exact McNemar test" in words.tested(found)


def test_the_row_that_tests_picked_is_said_to_be_optimistic_where_the_first_line_names_it() -> None:
    test = {"Baseline": 0.3, "ModelA": 0.9, "ModelC": 0.9}
    made = fabricate.predictions(fabricate.faces(), test)
    trained = {name: fabricate.trained(share) for name, share in test.items()}
    trained["ModelC"] = fabricate.trained(0.95, trainable=10**7)
    found = fabricate.compare(trained, made)
    assert found.best.name == "ModelC" and "by ModelA, against" in words.headline(found)
    assert "picked ModelA for the first line" in " ".join(words.findings(found))
    longest = "ModelD-256-128-dropout"
    trained[longest] = fabricate.trained(0.3, trainable=10**8, improving=True)
    names = {**test, longest: 0.3}
    longer = fabricate.compare(trained, fabricate.predictions(fabricate.faces(), names))
    assert words.headline(longer).startswith("Not settled: ModelC leads")
    assert "for the first line" not in " ".join(words.findings(longer))


def test_a_row_that_trains_more_and_was_still_learning_leaves_the_question_open() -> None:
    test = {"Baseline": 0.9, "ModelC": 0.6}
    made = fabricate.predictions(fabricate.faces(), test)
    trained = {
        "Baseline": fabricate.trained(0.9),
        "ModelC": fabricate.trained(0.6, trainable=10**7, epochs=3, improving=True),
    }
    found = fabricate.compare(trained, made)
    assert words.headline(found) == "Not settled: Baseline leads, but ModelC had too few epochs"
    said = "ModelC was, by the first seed, still improving at its last epoch"
    assert said in words.findings(found)[-1]
    assert steps.next_step(found).command == "dvc exp run -S experiments.ModelC.epochs=6"


def test_the_next_step_is_more_seeds_then_more_images_then_the_networks_use() -> None:
    assert steps.next_step(fabricate.results()).command == "dvc exp run -S seeds=5"
    found = crossed_results(Baseline=3, ModelA=3)
    assert "models/ModelA.safetensors" in steps.next_step(found).command
    close = crossed_results(ModelC=3, ModelA=3)
    assert steps.next_step(close).command == "python -m src.crossvalidate"


def test_a_search_for_a_better_head_is_advised_until_there_is_one() -> None:
    def command(**accuracy: float) -> str:
        rows = {name.replace("_", "-"): share for name, share in accuracy.items()}
        head = fabricate.EXPERIMENTS["ModelD-256-128-dropout"]
        made = fabricate.predictions(fabricate.faces(), rows, seeds=3)
        trained = {name: fabricate.trained(share) for name, share in rows.items()}
        return steps.next_step(fabricate.compare(trained, made, dict.fromkeys(rows, head))).command

    assert command(Baseline=0.3, ModelD=0.9) == "python -m src.tune"
    use = "python -m src.predict --model models/{}.safetensors photo.jpg"
    assert command(Baseline=0.3, ModelD_best=0.9) == use.format("ModelD-best")
    assert command(Baseline=0.3, ModelD=0.9, ModelD_best=0.6) == use.format("ModelD")


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
