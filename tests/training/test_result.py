"""Which epoch is kept."""

from __future__ import annotations

from dataclasses import replace
from math import inf, isnan, nan

import numpy as np
import pytest

from src.training.result import Epoch, choose, selection_key, shortest


def epoch(number: int, val_accuracy: float, val_loss: float) -> Epoch:
    return Epoch(number, 0.1, 0.9, val_loss, val_accuracy, 0.01, 1.0, 1.0)


def test_accuracy_decides_then_the_loss_then_the_order() -> None:
    history = (epoch(1, 0.5, 0.2), epoch(2, 0.6, 0.9), epoch(3, 0.6, 0.8), epoch(4, 0.6, 0.8))
    assert choose(history, "best").number == 3
    assert choose(history, "last").number == 4


def test_an_epoch_whose_loss_is_not_a_number_is_kept_only_for_want_of_another() -> None:
    broken = epoch(1, 0.9, nan)
    assert choose((broken, epoch(2, 0.1, 5.0)), "best").number == 2
    assert choose((epoch(2, 0.1, 5.0), broken), "best").number == 2
    assert choose((broken, epoch(2, 0.9, nan)), "best").number == 1
    assert selection_key(0.0, 5.0) > selection_key(1.0, nan)


@pytest.mark.parametrize("value", [0.8333333134651184, 0.1, 1 / 3, 0.0, 1.0, 6.02e23, -inf])
def test_a_metric_has_no_more_digits_than_it_was_computed_with(value: float) -> None:
    single = float(np.float32(value))
    assert shortest(single) == float(f"{single:.9g}") or len(repr(shortest(single))) < 12
    assert np.float32(shortest(single)) == np.float32(value), "the same float32"
    assert shortest(shortest(single)) == shortest(single)


def test_a_metric_that_is_no_float32_is_left_as_it_is() -> None:
    assert shortest(0.8333333333333334) == 0.8333333333333334
    assert isnan(shortest(nan))


def test_metrics_are_named_for_mlflows_charts_and_rounded_where_they_are_made() -> None:
    made = replace(epoch(1, 0.8333333134651184, 0.5), seconds=1.25, images_per_second=10.0)
    assert made.metrics["val/accuracy"] == 0.8333333
    assert made.metrics["seconds_per_epoch"] == 1.25
    assert made.metrics["images_per_second"] == 10.0
    assert {key.partition("/")[0] for key in made.metrics if "/" in key} == {"train", "val"}
