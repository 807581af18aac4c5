"""The benchmark of the search compares it with a plain loop on the same configurations."""

from __future__ import annotations

import json

import pytest

from benchmarks import tuning


@pytest.mark.usefixtures("here")
def test_a_plain_loop_that_prunes_as_the_search_did_takes_less_than_one_that_does_not(
    capsys: pytest.CaptureFixture[str],
) -> None:
    tuning.main(["speed", "--trials", "12", "--plain-epochs", "2", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["trials"] == 12 and found["trained_epochs"] < 12 * found["epochs"]
    assert 0 < found["plain_pruned_seconds"] < found["plain_seconds"]
    assert found["plain_accuracy"] is None, "two epochs of six are not the end"


@pytest.mark.usefixtures("here")
def test_without_pruning_a_plain_loop_that_prunes_takes_as_long_as_the_plain_loop(
    capsys: pytest.CaptureFixture[str],
) -> None:
    tuning.main(["speed", "--trials", "5", "--pruner", "none", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["trained_epochs"] == 5 * found["epochs"]
    assert found["plain_pruned_seconds"] == pytest.approx(found["plain_seconds"])
    assert found["plain_accuracy"] is not None
