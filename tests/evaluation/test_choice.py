import json
from pathlib import Path

import pytest

from src.errors import StaleInputError
from src.evaluation.choice import Contender, choose


def test_the_highest_validation_accuracy_wins_and_of_equals_the_cheaper_training() -> None:
    cheap, dear, worse = (
        Contender("cheap", 0.9, 10),
        Contender("dear", 0.9, 1000),
        Contender("worse", 0.8, 1),
    )
    assert choose([worse, dear, cheap]) == cheap
    assert choose([worse, dear]) == dear


def test_a_contender_is_what_its_training_wrote(tmp_path: Path) -> None:
    metrics = tmp_path / "A.json"
    metrics.write_text(json.dumps({"val": {"accuracy": 0.5}, "trainable_parameters": 7}))
    assert Contender.read("A", metrics) == Contender("A", 0.5, 7)


@pytest.mark.parametrize("text", ["", "{}", '{"val": 1, "trainable_parameters": 7}'])
def test_metrics_without_validation_accuracy_are_refused_by_name(tmp_path: Path, text: str) -> None:
    metrics = tmp_path / "A.json"
    metrics.write_text(text)
    with pytest.raises(StaleInputError, match="dvc repro"):
        Contender.read("A", metrics)
