"""The benchmarks' commands, end to end on a small project."""

from __future__ import annotations

import importlib
import json
import pkgutil
import re
import shlex
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import scipy.stats
import torch

import benchmarks
from benchmarks import (
    accuracy,
    compiler,
    convolutions,
    heads,
    labels,
    libraries,
    scaling,
    serving,
    significance,
    speed,
    startup,
    table,
)
from src.data.faceset import FaceSet, Split
from src.errors import ConfigError
from src.models import convolutions as unfolding
from src.training.job import make_features
from tests.benchmarks.projects import job_of
from tests.shipped import SHIPPED

PROMISED = {
    "experiment",
    "seconds_per_epoch",
    "plain_seconds_per_epoch",
    "ratio",
    "accuracy",
    "plain_accuracy",
    "peak_memory_mb",
    "floor_seconds_per_epoch",
}
MODULES = [
    importlib.import_module(f"benchmarks.{found.name}" + ".__main__" * found.ispkg)
    for found in pkgutil.iter_modules(benchmarks.__path__)
]
BENCHMARKS = {
    module.__name__.removesuffix(".__main__"): module
    for module in MODULES
    if hasattr(module, "main")
}
WITHOUT_PARAMS = (libraries, serving, significance, startup)
DOCUMENTED = [
    line
    for text in (
        (SHIPPED / "docs/performance.md").read_text(encoding="utf-8"),
        (SHIPPED / "docs/tuning.md").read_text(encoding="utf-8"),
        (SHIPPED / "docs/labels.md").read_text(encoding="utf-8"),
        *(module.EXAMPLES for module in BENCHMARKS.values() if module not in WITHOUT_PARAMS),
    )
    for line in re.findall(r"^\s*python -m (benchmarks\..*)$", text, re.MULTILINE)
]
pytestmark = pytest.mark.usefixtures("project")


@pytest.mark.parametrize("command", DOCUMENTED)
def test_every_documented_command_has_options_that_exist(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a folder without params.yaml, so that it stops once its options are read."""
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    name, *options = shlex.split(command, comments=True)
    with pytest.raises(ConfigError, match=r"params\.yaml"):
        BENCHMARKS[name].main(options)


@pytest.mark.parametrize("module", WITHOUT_PARAMS, ids=lambda module: module.__name__)
def test_a_benchmark_that_reads_no_params_documents_options_that_exist(
    module: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    commands = re.findall(rf"python -m {module.__name__}(.*)$", module.EXAMPLES, re.MULTILINE)
    assert len(commands) == 2
    for command in commands:
        with pytest.raises(SystemExit, match="2"):
            module.main([*shlex.split(command), "--unknown"])
        assert capsys.readouterr().err.endswith("unrecognized arguments: --unknown\n")


@pytest.mark.long
def test_a_stage_is_timed_to_its_end_and_leaves_nothing_here(project: Path) -> None:
    before = sorted(Path().rglob("*"))
    found = startup.time_command(["pipelines.train", "Baseline"], [startup.ROOT], repeats=1)
    assert found.seconds > 0.5, "longer than an interpreter alone"
    assert found.other_seconds is None
    assert sorted(Path().rglob("*")) == before


def test_both_augmentations_make_inputs_of_the_same_shape() -> None:
    ours, per_image = (augment() for augment in libraries.augment())
    assert torch.cat(ours).shape == per_image.shape


def test_a_part_is_timed_beside_the_librarys() -> None:
    calls: list[str] = []
    found = libraries.time_part(
        "any", lambda: calls.append("ours"), lambda: calls.append("library"), repeats=3
    )
    assert calls == ["ours", "library"] * 4, "once unmeasured, then in turn"
    assert found.ratio_low <= found.ratio <= found.ratio_high


@pytest.mark.parametrize(("name", "module"), BENCHMARKS.items(), ids=BENCHMARKS)
def test_every_benchmark_has_help_with_examples(
    name: str, module: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="0"):
        module.main(["--help"])
    assert f"python -m {name}" in capsys.readouterr().out.split("examples:")[1]
    assert name in str(benchmarks.__doc__)


@pytest.mark.long
def test_both_sides_are_trained_to_the_end_and_compared(capsys: pytest.CaptureFixture[str]) -> None:
    speed.main(["--experiment", "ModelA", "--epochs", "6", "--repeats", "2", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found.keys() >= PROMISED
    assert found["ratio_low"] <= found["ratio"] <= found["ratio_high"]
    assert found["accuracy"] == found["plain_accuracy"] == 1.0, "colours are easy for both"
    assert len(found["accuracies"]) == len(found["plain_accuracies"]) == 2, "one of every seed"
    assert found["projected"] is None
    assert found["startup_seconds"] > 0


@pytest.mark.long
def test_a_projection_says_so_and_finishes_on_what_is_frozen(
    capsys: pytest.CaptureFixture[str],
) -> None:
    speed.main(["--experiment", "Baseline", "--plain-epochs", "2"])
    printed = capsys.readouterr().out
    assert "projected from 2" in printed and "finished on stored outputs" in printed
    speed.main(["--experiment", "Baseline", "--plain-epochs", "2", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["plain_accuracy"] is not None and found["projected"] == 2


@pytest.mark.long
def test_the_plain_loops_terms_are_taken_and_named(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--experiment", "Baseline", "--plain-dtype", "bfloat16", "--plain-cached"]
    speed.main(options)
    assert "s/epoch in bfloat16, caching included\n" in capsys.readouterr().out
    speed.main([*options, "--json"])
    found = json.loads(capsys.readouterr().out)
    assert (found["plain_dtype"], found["plain_cached"]) == ("bfloat16", True)
    with pytest.raises(ConfigError, match="nothing to cache"):
        speed.main(["--experiment", "ModelC", "--plain-cached"])


@pytest.mark.long
def test_a_projection_of_what_is_nowhere_frozen_claims_no_accuracy(
    capsys: pytest.CaptureFixture[str],
) -> None:
    speed.main(["--experiment", "ModelC", "--epochs", "3", "--plain-epochs", "2"])
    assert "not run to the end" in capsys.readouterr().out
    speed.main(["--experiment", "ModelC", "--epochs", "3", "--plain-epochs", "2", "--json"])
    assert json.loads(capsys.readouterr().out)["plain_accuracy"] is None


@pytest.mark.long
def test_accuracies_are_compared_over_seeds_where_something_is_frozen(
    capsys: pytest.CaptureFixture[str],
) -> None:
    accuracy.main(["--experiment", "Baseline", "ModelA", "--seeds", "3", "--json"])
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each["experiment"] for each in found] == ["Baseline", "ModelA"]
    for each in found:
        assert len(each["accuracies"]) == len(each["plain_accuracies"]) == 3
    with pytest.raises(ConfigError, match="it freezes nothing"):
        accuracy.main(["--experiment", "ModelC"])


def test_a_difference_has_its_standard_error_where_there_are_several_seeds() -> None:
    assert accuracy.points([0.5], [0.49]) == "+1.00"
    differences = [1.0, -2.0, 4.0]
    error = np.std(differences, ddof=1) / 3**0.5
    engine = [0.5 + each / 100 for each in differences]
    assert accuracy.points(engine, [0.5] * 3) == f"+1.00 ± {error:.2f}"


@pytest.mark.parametrize(("margin", "within"), [(1.0, False), (2.5, True)])
def test_no_worse_is_claimed_only_where_the_whole_interval_is_above_the_margin(
    margin: float, within: bool
) -> None:
    engine, plain = np.array([0.62, 0.60, 0.64, 0.61]), np.array([0.61, 0.62, 0.62, 0.61])
    found = accuracy.NonInferiorityTest.of(
        experiment="Baseline",
        epochs=1,
        accuracies=engine.tolist(),
        plain_accuracies=plain.tolist(),
        margin=margin,
    )
    expected = scipy.stats.ttest_rel(100 * engine, 100 * plain).confidence_interval()
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.within == within and -2.5 < found.low < -1.0
    assert ("no worse" in str(found)) == within


@pytest.mark.long
def test_the_table_trains_every_experiment_and_adds_them_up(
    capsys: pytest.CaptureFixture[str],
) -> None:
    table.main(["--warm-up", "--json"])
    found = json.loads(capsys.readouterr().out)
    rows = {row["experiment"]: row for row in found["rows"]}
    assert list(rows) == ["Baseline", "ModelA", "ModelC"]
    assert found["epochs"] == 3 + 2 + 2
    assert all(row["peak_memory_mb"] > 50 for row in found["rows"])
    work = [rows[name]["flops"] for name in ("Baseline", "ModelA", "ModelC")]
    assert work == sorted(work) and work[0] > 0, "the more trains, the more there is to do"
    assert found["seconds"] == pytest.approx(sum(row["seconds"] for row in rows.values()))
    assert found["ratio"] == pytest.approx(found["plain_seconds"] / found["seconds"])
    table.main(["--experiment", "Baseline", "--epochs", "1", "--no-plain"])
    header, row, total, _device = capsys.readouterr().out.splitlines()
    assert header.split()[:3] == ["experiment", "epochs", "s"]
    assert row.split()[:2] == ["Baseline", "1"] and total.split()[:2] == ["all", "1"]


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
def test_scaling_trains_every_size_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    scaling.main(["--experiment", "Baseline", "--images", "40", "80", "--subjects", "3", "--json"])
    costs = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(c["images"], c["subjects"], c["epochs"]) for c in costs] == [(40, 3, 3), (80, 3, 3)]
    for cost in costs:
        whole = cost["once_seconds"] + cost["epochs"] * cost["epoch_seconds"]
        assert cost["seconds"] == pytest.approx(whole)
        assert 50 < cost["peak_memory_mb"] < 6000


@pytest.mark.long
def test_scaling_projects_the_epochs_it_was_told_to_leave(
    capsys: pytest.CaptureFixture[str],
) -> None:
    scaling.main(
        ["--experiment", "ModelC", "--images", "16", "--epochs", "50", "--measured-epochs", "1"]
    )
    assert capsys.readouterr().out.rstrip().endswith("from 1")


@pytest.mark.long
def test_scaling_packs_an_archive_of_the_size_asked_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    scaling.main(["--packing", "--images", "48", "--subjects", "4", "--json"])
    cost = json.loads(capsys.readouterr().out)
    assert (cost["images"], cost["subjects"]) == (48, 4) and cost["archive_mb"] > 0
    assert cost["seconds"] > cost["load_seconds"] > 0
    assert 0 < cost["peak_own_mb"] <= cost["peak_memory_mb"]


def test_the_enlarged_dataset_has_the_size_asked_for(project: Path) -> None:
    faces = scaling.enlarge(FaceSet.load(project / "data/faces.safetensors"), 50, 7)
    assert [len(faces.rows(split)) for split in Split] == [50, 5, 0]
    assert set(faces.labels.tolist()) == set(range(7)) and len(faces.subjects) == 7


@pytest.mark.parametrize("images", ["0", "-5", "many"])
def test_a_size_that_is_none_is_refused(images: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        scaling.main(["--experiment", "Baseline", "--images", images])
    assert stopped.value.code == 2
    assert "whole number" in capsys.readouterr().err or images.startswith("-")


@pytest.mark.long
def test_steps_are_timed_with_and_without_unfolding(capsys: pytest.CaptureFixture[str]) -> None:
    limit = unfolding.UNFOLD
    convolutions.main(["--experiment", "ModelA", "--repeats", "2", "--json"])
    (found,) = json.loads(capsys.readouterr().out)
    assert found["ratio_low"] <= found["ratio"] <= found["ratio_high"]
    assert min(found["unfolded"], found["plain"]) > 0
    assert limit == unfolding.UNFOLD, "both ways are timed, and it is left as it was"


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


def test_planted_labels_are_found_and_counted(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On images whose colours tell both subjects apart."""
    make_features(job_of("Baseline", project)).save(project / "data/features.safetensors")
    labels.main(["--seeds", "2", "--share", "0.1", "--json"])
    for seed, line in enumerate(capsys.readouterr().out.splitlines()):
        found = json.loads(line)
        assert (found["seed"], found["planted"], found["images"]) == (seed, 3, 32)
        assert found["first"] <= found["found"] <= min(found["planted"], found["flagged"])
        assert found["recall of all"] == pytest.approx(found["found"] / 3)
        assert found["recall of all"] > 0.5 and found["classifiers' agreement"] > 0.9
    labels.main(["--seeds", "1"])
    printed = capsys.readouterr().out
    assert printed.startswith("2 of 32 labels planted, seeds: 1; mean (range)\n")
    assert printed.count("\n") == 7


@pytest.mark.parametrize(("share", "number"), [(0.05, 5), (0.3, 30), (0.001, 1)])
def test_as_many_labels_as_asked_for_are_replaced_by_others(share: float, number: int) -> None:
    before = np.arange(100) % 4
    after = labels.planted(before, share, seed=3)
    assert (after != before).sum() == number and {*after.tolist()} <= {0, 1, 2, 3}
    assert (labels.planted(before, share, seed=3) == after).all()
    assert (labels.planted(before, share, seed=4) != after).any()
