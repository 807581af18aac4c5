"""Parts of a training are timed beside another way to do the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchmarks import compiler, convolutions, heads, libraries
from src.errors import ConfigError
from src.training.job import make_features
from tests.benchmarks.projects import change_params, job_of

pytestmark = pytest.mark.usefixtures("project")


def test_both_augmentations_make_inputs_of_the_same_shape() -> None:
    ours, per_image = (augment() for augment in libraries.augment())
    assert torch.cat(ours).shape == per_image.shape


def test_a_part_is_timed_beside_the_librarys() -> None:
    calls: list[str] = []
    found = libraries.time_part(
        "any", lambda: calls.append("ours"), lambda: calls.append("library"), repeats=3
    )
    once, swapped = ["ours", "library"], ["library", "ours"]
    assert calls == [*once, *once, *swapped, *once], "once unmeasured, then in turn"
    assert found.ratio_low <= found.ratio <= found.ratio_high


@pytest.mark.long
def test_compiled_steps_give_the_logits_of_eager_ones(capsys: pytest.CaptureFixture[str]) -> None:
    """By torch's backend that traces and differentiates but generates no code."""
    options = ["--experiment", "ModelA", "--steps", "2", "--backend", "aot_eager"]
    compiler.main(options)
    assert "compiled step" in capsys.readouterr().out
    compiler.main([*options, "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["difference"] < 0.05
    assert found["ratio"] == pytest.approx(
        found["eager_step_seconds"] / found["compiled_step_seconds"]
    )


@pytest.mark.long
def test_both_layouts_are_timed(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--experiment", "ModelA", "--steps", "2", "--layouts"]
    compiler.main(options)
    assert "channels last" in capsys.readouterr().out
    compiler.main([*options, "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["ratio"] == pytest.approx(
        found["contiguous_step_seconds"] / found["channels_last_step_seconds"]
    )


@pytest.mark.long
def test_steps_are_timed_with_our_convolutions_and_torchs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    convolutions.main(["--experiment", "ModelA", "--repeats", "2", "--json"])
    (found,) = json.loads(capsys.readouterr().out)
    assert found["ratio_low"] <= found["ratio"] <= found["ratio_high"]
    assert min(found["ours"], found["torchs"]) > 0


def test_steps_with_both_convolutions_run_on_the_processor_whatever_the_engine_takes(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change_params(project, {"engine": {"device": "cuda"}})
    convolutions.main(["--experiment", "ModelA", "--repeats", "1", "--json"])
    (found,) = json.loads(capsys.readouterr().out)
    assert found["device"].endswith("threads")


def test_every_head_is_listed_with_its_own_epochs(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hidden = {"head": {"hidden": [4]}, "train": ["head"], "batch_size": 8}
    entries = {"Short": {**hidden, "epochs": 2}, "Long": {**hidden, "epochs": 3}}
    change_params(project, {"experiments": entries})
    make_features(job_of("Baseline", project)).save(project / "data/features.safetensors")
    heads.main(["--repeats", "2", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert (found["heads"], found["epochs"]) == ([[4], [4]], [2, 3])


@pytest.mark.long
def test_heads_are_timed_together_and_one_by_one(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = job_of("Baseline", project)
    make_features(job).save(project / "data/features.safetensors")
    heads.main(["--experiment", "Baseline", "--hidden", "6", "4", "--count", "3", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["heads"] == [[6, 4]] * 3
    assert found["ratio_low"] <= found["ratio"] <= found["ratio_high"]
    with pytest.raises(ConfigError, match="none has an MLP head"):
        heads.main([])
    with pytest.raises(ConfigError, match="ModelA: it trains more than"):
        heads.main(["--experiment", "ModelA"])
