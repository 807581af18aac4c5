"""The figures over all images and the tests of the differences equal independent computations."""

from __future__ import annotations

from dataclasses import replace
from math import sqrt
from statistics import mean, variance

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import gamma
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, f1_score

from src.crossvalidate.summary import accuracy_figure, compare, corrected_t, page, table
from src.evaluation.predictions import Predictions
from src.report.charts import accuracy_chart
from tests import fabricate

FOLDS = {"ModelA": (0.9, 0.8, 0.7), "Baseline": (0.6, 0.7, 0.5), "ModelB": (0.6, 0.7, 0.5)}


def predictions() -> Predictions:
    generator = np.random.default_rng(0)
    labels = np.arange(30) % 3
    logits = {
        name: (generator.normal(size=(1, 30, 3)) + strength * np.eye(3)[labels]).astype(np.float32)
        for name, strength in (("ModelA", 3.0), ("Baseline", 1.0), ("ModelB", 1.0))
    }
    return Predictions(logits, labels, np.arange(30), ("ann", "bob", "cyd"))


def test_the_corrected_t_test_follows_its_formula() -> None:
    differences = [0.3, 0.1, 0.2, 0.05]
    t = mean(differences) / sqrt((1 / 4 + 1 / 3) * variance(differences))
    freedom = 3
    scale = gamma((freedom + 1) / 2) / (sqrt(freedom * np.pi) * gamma(freedom / 2))
    tail, _ = quad(lambda x: scale * (1 + x * x / freedom) ** (-(freedom + 1) / 2), t, np.inf)
    assert corrected_t(differences) == pytest.approx(2 * tail, rel=1e-6)


@pytest.mark.parametrize("folds", [3, 5])
def test_folds_that_all_differ_alike_have_no_spread_and_the_sign_tests_p(folds: int) -> None:
    assert corrected_t([0.0] * folds) == 1.0
    assert corrected_t([0.25] * folds) == binomtest(0, folds).pvalue
    rounded = [0.95 - 0.9, 0.9 - 0.85, 0.85 - 0.8]
    assert corrected_t(rounded) == binomtest(0, 3).pvalue


def test_scores_are_those_over_all_images() -> None:
    made = predictions()
    for row in compare(made, FOLDS):
        answers = made.predicted(row.name)
        assert row.score.accuracy == pytest.approx(accuracy_score(made.labels, answers))
        assert row.score.macro_f1 == pytest.approx(f1_score(made.labels, answers, average="macro"))
        correct = int((answers == made.labels).sum())
        expected = binomtest(correct, 30).proportion_ci(method="wilson")
        found = (row.score.accuracy_low, row.score.accuracy_high)
        assert found == pytest.approx((expected.low, expected.high))
        assert row.folds == FOLDS[row.name]


def test_every_experiment_but_baseline_is_tested_against_it() -> None:
    rows = compare(predictions(), FOLDS)
    assert [row.name for row in rows] == list(FOLDS)
    assert [row.name for row in rows if row.against is None] == ["Baseline"]
    alike = rows[2].against
    assert alike is not None and alike.corrected_t_p == 1.0


def test_without_baseline_the_first_experiment_is_the_reference() -> None:
    folds = {name: FOLDS[name] for name in ("ModelB", "ModelA")}
    assert [row.against is None for row in compare(predictions(), folds)] == [True, False]
    assert "against ModelB" in table(compare(predictions(), folds))


def test_the_page_shows_each_experiment_on_one_line() -> None:
    text = page(compare(predictions(), FOLDS), 3)
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len(lines) == 2 + len(FOLDS)
    assert len({len(line) for line in lines}) == 1
    assert "30 images of 3 subjects in 3 folds" in text


def test_a_p_value_too_small_for_three_decimals_is_said_to_be_below_them() -> None:
    first, *others = compare(predictions(), FOLDS)
    assert first.against is not None
    small = replace(first.against, mcnemar_p=0.0009, corrected_t_p=0.001)
    line = table([replace(first, against=small), *others]).splitlines()[2]
    assert [cell.strip() for cell in line.split("|")[-3:-1]] == ["<0.001", "0.001"]


def test_the_figure_has_the_axes_of_the_reports() -> None:
    (axis,) = accuracy_figure(compare(predictions(), FOLDS)).axes
    comparison = fabricate.results()
    (reported,) = accuracy_chart(comparison).axes
    names = {axis: [*FOLDS], reported: [row.name for row in comparison.rows]}
    for each, expected in names.items():
        assert [label.get_text() for label in each.get_yticklabels()] == expected
        assert each.get_ylim() == (len(expected) - 0.5, -0.5), "the first on top"
    assert axis.get_xlim() == reported.get_xlim() and axis.get_xlim()[1] > 100
