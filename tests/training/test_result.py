"""Which epoch is kept."""

from __future__ import annotations

from math import nan

from src.training.result import Epoch, choose, selection_key


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
