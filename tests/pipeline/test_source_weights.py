"""Source weights under DVC: another file under the same name is another input."""

from __future__ import annotations

from pathlib import Path

import pytest

from src.config import PARAMS, read_yaml
from src.files import write_json
from src.models.weights import SourceWeights, random_weights
from tests.pipeline.repository import Repository

pytestmark = [pytest.mark.long, pytest.mark.pipeline]
ORIGIN = Path("weights/own.safetensors")
BACKBONE = "mobilenet_v3_small"


def test_another_file_at_the_same_path_is_seen_and_taken(tmp_path: Path) -> None:
    repository = Repository.with_pipeline(tmp_path)
    params = read_yaml(tmp_path / PARAMS)
    params |= {
        "weights": {"origin": str(ORIGIN)},
        "model": {"backbone": BACKBONE, "stem": "standard"},
        "experiments": {"Baseline": {"train": ["head"], "batch_size": 8, "epochs": 1}},
    }
    write_json(tmp_path / PARAMS, params)  # JSON is YAML
    random_weights(BACKBONE, 1).save(tmp_path / ORIGIN)
    assert repository.stages_run("repro", "weights") == {"weights"}

    other = random_weights(BACKBONE, 2)
    other.save(tmp_path / ORIGIN)
    assert str(ORIGIN) in repository.run("dvc", "status", "weights")
    assert repository.stages_run("repro", "weights") == {"weights"}
    taken = SourceWeights.load(tmp_path / "models/source.safetensors").state
    assert taken["features.0.0.weight"].equal(other.state["features.0.0.weight"])
