"""Names are printed as they are, whatever rich would make of them."""

from __future__ import annotations

import pytest

from src.evaluation.metrics import wilson
from src.tune.best import Retraining, TrialRow
from src.tune.space import TrialParams
from src.tune.table import print_closing


def test_brackets_in_a_name_are_printed_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    trial_params = TrialParams((8,), (0.0,), 1e-3, 1e-3, 16)
    rows = [TrialRow("[red]best", 3, trial_params, wilson(9, 10))]
    print_closing(rows, [], Retraining((1, 2), (0.9, 0.8)))
    said = capsys.readouterr().out
    assert said.count("[red]best") == 2
    assert "validation 85.0% (90.0%, 80.0%)" in said
    assert "optimistic" in said
