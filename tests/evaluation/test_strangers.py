"""The score and its threshold come from one half; the other only measures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from src.evaluation.strangers import class_means, measure, ranking, set_threshold
from src.models.threshold import SCORES, Threshold, known_scores
from tests import fabricate


def threshold_of(far: float = 0.1) -> Threshold:
    halves = fabricate.halves()
    return set_threshold(halves.setting, halves.means, far=far, model="m", experiment="e")


def test_the_score_that_tells_the_setting_half_apart_best_is_chosen() -> None:
    halves = fabricate.halves()
    assert ranking(halves.setting)[0] == threshold_of().score == "distance"
    far_off = {name: values - 100 for name, values in halves.measuring.strangers.items()}
    strangers = {**halves.measuring.strangers, "energy": far_off["energy"]}
    misled = replace(halves.measuring, strangers=strangers)
    assert ranking(misled)[0] == "energy"
    assert ranking(replace(misled, strangers=far_off))[0] == "probability", "the first of equals"
    found = measure(replace(halves, measuring=misled), threshold_of())
    assert found["score"] == "distance", "whatever the measuring half says"
    assert found["scores"]["energy"]["auroc"] == 1.0


def test_rates_are_counted_on_the_measuring_half() -> None:
    halves, threshold = fabricate.halves(), threshold_of()
    found, half = measure(halves, threshold), halves.measuring
    own = found["scores"]["distance"]
    assert own["far"] == pytest.approx(np.mean(half.strangers["distance"] > threshold.value))
    assert own["frr"] == pytest.approx(np.mean(half.known["distance"] <= threshold.value))
    assert found["accepted"]["coverage"] == pytest.approx(1 - own["frr"])
    right = half.probabilities.argmax(1) == half.labels
    accepted = half.known["distance"] > threshold.value
    assert found["accepted"]["accuracy"] == pytest.approx(right[accepted].mean(), abs=1e-6)
    sets = half.probabilities >= threshold.floor
    held = [own_set[label] for own_set, label in zip(sets, half.labels, strict=True)]
    assert found["candidates"]["coverage"] == pytest.approx(np.mean(held))
    assert found["ahead"]["of"] == "probability"


def test_named_rightly_is_who_is_accepted_and_right_of_all_known_images() -> None:
    halves = fabricate.halves()
    known, half = halves.measuring.known["distance"], halves.measuring
    threshold = replace(threshold_of(), value=float(np.median(known)))
    answers = zip(known, half.probabilities.argmax(1), half.labels, strict=True)
    right = [score > threshold.value for score, answer, label in answers if answer == label]
    assert 0 < sum(right) < len(right) < len(known) / 2
    found = measure(halves, threshold)["accepted"]
    assert found["named_rightly"] == pytest.approx(sum(right) / len(known))


def test_scores_are_higher_for_what_is_near_a_subject() -> None:
    means = torch.tensor([[2.0, 0.0], [0.0, 2.0]])
    features = torch.tensor([[3.0, 1.0], [1.0, 1.0]])
    logits = torch.tensor([[4.0, 0.0], [0.1, 0.0]])
    found = known_scores(logits, features, 2.0, means)
    assert tuple(found) == SCORES
    probabilities = (logits.double() / 2).softmax(1).amax(1)
    torch.testing.assert_close(found["probability"], probabilities.logit())
    torch.testing.assert_close(found["energy"], logits.double().exp().sum(1).log())
    torch.testing.assert_close(
        found["distance"], torch.tensor([0.5**0.5, 0.0], dtype=torch.float64)
    )


def test_means_are_those_of_each_subjects_images() -> None:
    features, labels = torch.tensor([[1.0], [3.0], [5.0]]), torch.tensor([0, 0, 1])
    assert class_means(features, labels, 3).flatten().tolist() == [2.0, 5.0, 0.0]
