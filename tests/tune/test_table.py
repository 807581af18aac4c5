"""What a terminal shows of a study; names as they are, whatever rich would make of them."""

from __future__ import annotations

from io import StringIO

import optuna
import pytest
from optuna.trial import TrialState, create_trial
from rich.console import Console

from src.evaluation.metrics import wilson
from src.tune.best import Retraining, TrialRow
from src.tune.space import TrialParams
from src.tune.study import PUBLISHED
from src.tune.table import LiveTable, print_closing
from tests.tune.conftest import tuned


def test_brackets_in_a_name_are_printed_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    trial_params = TrialParams((8,), (0.0,), 1e-3, 1e-3, 16)
    rows = [TrialRow("[red]best", 3, trial_params, wilson(9, 10))]
    print_closing(rows, [], Retraining((1, 2), (0.9, 0.8)))
    said = capsys.readouterr().out
    assert said.count("[red]best") == 2
    assert "validation 85.0% (90.0%, 80.0%)" in said
    assert "optimistic" in said


@pytest.mark.usefixtures("here")
def test_a_terminal_shows_how_far_the_study_is_and_its_best_heads() -> None:
    params, study = tuned(), optuna.create_study(direction="maximize")
    study.add_trial(
        create_trial(state=TrialState.COMPLETE, value=0.5, user_attrs={PUBLISHED: "given"})
    )
    study.add_trial(create_trial(state=TrialState.PRUNED))
    study.ask()
    shown = StringIO()
    terminal = Console(file=shown, force_terminal=True, color_system=None, width=120)
    with LiveTable(study, params.tune, terminal) as table:
        table.refresh()
    said = shown.getvalue()
    assert f"2 of {params.tune.trials} trials   1 running   1 pruned" in said
    assert "50.0%" in said and "given" in said
