"""The measurements for a GPU, on the processor: complete, bounded in time, and without DVC."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from benchmarks import gpu, plain
from benchmarks.drawn import drawn_faces, drawn_heads
from benchmarks.measures import MEASURES, Bench, Finding, MissingError, gpu_test_files
from benchmarks.plain import PlainRun
from src.closure import ROOT
from src.config import Space
from src.data.faceset import Split
from src.errors import OutputError
from src.training.job import TrainingJob
from tests.benchmarks.projects import change_params
from tests.shipped import SHIPPED

pytestmark = pytest.mark.usefixtures("project")
ABSENT = (
    *("mlflow", "dvc", "optuna", "sklearn", "scipy", "pandas", "matplotlib", "rich"),
    *("psycopg", "onnx", "onnxscript", "hypothesis"),
)
WITHOUT = f"""
import runpy, sys
class Finder:
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, path=None, target=None):
        absent = name in {ABSENT} or name.split(".")[0] in {ABSENT}
        return None if absent else self.finder.find_spec(name, path, target)
sys.meta_path[:] = [Finder(finder) for finder in sys.meta_path]
runpy.run_module("benchmarks.gpu", run_name="__main__")
"""
SMALL = (
    "--device",
    "cpu",
    "--subjects",
    "2",
    "--images",
    "10",
    "--preset",
    "small",
    "--heads",
    "3",
)


@pytest.fixture(autouse=True)
def preset(project: Path) -> None:
    """A preset that changes nothing but the length of a trial, and an experiment that is quick."""
    (project / "conf").mkdir()
    YAML().dump({"tune": {"epochs": 3, "wave": 2}}, project / "conf/small.yaml")


def test_a_file_that_cannot_be_written_is_refused_before_anything_is_measured(
    project: Path,
) -> None:
    with pytest.raises(OutputError, match="is a folder"):
        gpu.main([*SMALL, "--output", str(project)])


@pytest.mark.long
def test_everything_is_measured_with_torch_and_few_other_libraries(project: Path) -> None:
    """All but the tests that need a GPU, which another process would only skip here."""
    names = [name for name in gpu.NAMES if name != "tests"]
    options = ["--experiment", "Baseline", "--steps", "2", "--backend", "eager"]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, *SMALL, *options, "--measure", *names],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    written = json.loads((project / "gpu.json").read_text(encoding="utf-8"))
    found = written["found"]
    assert (written["left_out"], written["failed"]) == ({}, {}) and [*found] == names
    assert written["command"].startswith("python -m benchmarks.gpu --device cpu")
    assert written["device"] and written["torch"] and written["dtype"] in ("float32", "bfloat16")
    assert written["images"] == {"train": 14, "val": 2, "test": 4}
    row, matrix = found["table"]["Baseline"], found["table"]["matrix"]
    assert row["ratio"] == pytest.approx(row["plain_seconds"] / row["seconds"])
    rate = 1e9 * matrix["gflops"]
    assert row["share_of_matrix_rate"] == pytest.approx(row["flops"] / row["seconds"] / rate)
    assert row["peak_memory_mb"] > 50 and found["table"]["all"]["epochs"] == row["epochs"] == 3
    equal = found["table"]["Baseline on equal terms"]
    assert (equal["plain_dtype"], equal["plain_cached"]) == (written["dtype"], True)
    assert equal["ratio"] == pytest.approx(equal["plain_seconds"] / row["seconds"])
    assert written["plain_dtype"] == "float32"
    assert written["plain_tf32"] == {"matmul": False, "cudnn": True}, "torch's default"
    assert written["tf32"].keys() == written["plain_tf32"].keys()
    waves, plain = found["heads"]["waves"], found["heads"]["plain"]
    assert (waves["heads"], waves["wave"], waves["epochs"], waves["diverged"]) == (3, 2, 3, 0)
    assert plain["ratio"] == pytest.approx(plain["seconds"] / waves["seconds"])
    assert found["bits"]["Baseline"]["identical"] is True
    assert [*found["steps"]] == ["layouts", "default", "reduce-overhead"]


@pytest.mark.long
def test_what_does_not_fit_is_left_out_and_what_was_found_by_then_is_kept(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def endless(_bench: Bench) -> Iterator[Finding]:
        yield "first", {"seconds": 1.5}
        while True:
            time.sleep(0.01)

    def lacking(_bench: Bench) -> Iterator[Finding]:
        raise MissingError("nothing to measure with")
        yield

    def broken(_bench: Bench) -> Iterator[Finding]:
        yield "odd", {"ratio": float("nan")}
        raise RuntimeError("no kernel image")

    for name, part in (("table", (endless, 0.5)), ("bits", (lacking, 1)), ("heads", (broken, 1))):
        monkeypatch.setitem(MEASURES, name, part)
    started = time.monotonic()
    names = ["bits", "heads", "table", "tests"]
    monkeypatch.setitem(MEASURES, "tests", (endless, 1))
    code = gpu.main([*SMALL, "--minutes", "0.1", "--measure", *names])  # setting up included
    assert code == 1 and time.monotonic() - started < 10
    written = json.loads((project / "gpu.json").read_text(encoding="utf-8"))
    assert written["left_out"].keys() == {"bits", "table", "tests"}
    assert written["failed"] == {"heads": "RuntimeError: no kernel image"}
    assert written["found"]["table"] == {"first": {"seconds": 1.5}}
    assert written["found"]["heads"] == {"odd": {"ratio": "NaN"}}
    assert "left out: bits, nothing to measure with" in capsys.readouterr().out
    gpu.main([*SMALL, "--minutes", "0", "--measure", "table"])
    written = json.loads((project / "gpu.json").read_text(encoding="utf-8"))
    assert written["left_out"] == {"table": "no time was left"} and written["found"] == {}


def test_an_experiment_that_fails_leaves_the_others_their_rows(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plain loop is not run, and breaks down for the second experiment."""

    def train_plain(job: TrainingJob, _folder: Path, epochs: int, *_: Any, **__: Any) -> PlainRun:
        if job.name == "Broken":
            raise RuntimeError("CUDA out of memory")
        return PlainRun((1.0,) * epochs, None)

    monkeypatch.setattr(plain, "train_plain", train_plain)
    head = {"train": ["head"], "batch_size": 8}
    entries = {
        "Diverging": {**head, "epochs": 1, "learning_rate": 1e38},
        "Broken": {**head, "epochs": 1},
    }
    change_params(project, {"experiments": entries})
    assert gpu.main([*SMALL, "--measure", "table", "--experiment", *entries, "Baseline"]) == 1
    written = json.loads((project / "gpu.json").read_text(encoding="utf-8"))
    found, failed = written["found"]["table"], written["failed"]["table"]
    rows = ["Diverging failed", "Broken", "Broken failed", "Baseline"]
    assert [*found] == ["matrix", *rows, "Baseline on equal terms"], "and no sum"
    assert found["Broken"]["seconds"] > 0 and found["Broken"]["plain_seconds"] is None
    assert found["Baseline"]["plain_seconds"] == 3.0
    assert "Diverging: DivergedError" in failed and "Broken: RuntimeError: CUDA" in failed
    assert "Baseline" not in failed


def test_faces_and_source_weights_are_taken_together(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        gpu.main([*SMALL, "--faces", "data/faces.safetensors"])
    assert "both --faces and --source" in capsys.readouterr().err
    given = ["--faces", "data/faces.safetensors", "--source", "models/source.safetensors"]
    gpu.main([*SMALL, *given, "--minutes", "0"])
    written = json.loads((project / "gpu.json").read_text(encoding="utf-8"))
    assert written["images"] == {"train": 24, "val": 8, "test": 8}


def test_the_drawn_images_are_those_of_the_published_numbers_and_can_be_told_apart() -> None:
    faces = drawn_faces(100, 50, 16)
    assert [len(faces.rows(split)) for split in Split] == [3600, 400, 1000]
    for split in Split:
        assert set(faces.part(split)[1].tolist()) == set(range(100))
    train, _ = faces.part(Split.train)
    means = train.float().view(100, 36, -1).mean(1)
    test, expected = faces.part(Split.test)
    nearest = (test.float().flatten(1)[:, None] - means).square().sum(2).argmin(1)
    assert (nearest == expected).float().mean() > 0.99


def test_drawn_heads_fill_the_search_space() -> None:
    space = Space()
    heads = drawn_heads(space, 300, 0)
    assert {len(head.hidden) for head in heads} == {1, 2, 3}
    assert {head.batch_size for head in heads} == {*space.batch_size}
    widths = [width for head in heads for width in head.hidden]
    assert min(widths) >= 64 and max(widths) <= 2048
    assert 300 < sorted(widths)[len(widths) // 2] < 430, "the middle of a logarithmic scale"
    assert all(1e-4 <= head.learning_rate <= 1e-2 for head in heads)
    assert heads == drawn_heads(space, 300, 0) != drawn_heads(space, 300, 1)
    for head in heads:
        head.experiment(1, None)
    fixed = Space(width=(64,), layers=(2,), batch_size=(32,), dropout=(0.5,))
    assert {head.hidden for head in drawn_heads(fixed, 3, 0)} == {(64, 64)}


def test_by_default_the_published_experiments_are_measured_at_their_sizes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(SHIPPED)
    params = gpu.params_of(gpu.parser_of_options().parse_args([]))
    assert len(params.experiments) == 10 and params.recipe == "reference"
    assert sum(each.epochs for each in params.experiments.values()) == 1400
    assert params.experiments["ModelC"].batch_size == 256
    assert (params.tune.trials, params.engine.device) == (50, "auto")


def test_every_test_that_needs_a_gpu_is_among_those_that_are_run() -> None:
    run = {path.relative_to(ROOT) for path in gpu_test_files()}
    marked = re.compile(r"@pytest\.mark\.gpu\n(?:@.*\n|    .*\n|\).*\n)*def (test_\w+)")
    found = 0
    for path in (ROOT / "tests").rglob("test_*.py"):
        for name in marked.findall(path.read_text(encoding="utf-8")):
            found += 1
            assert path.relative_to(ROOT) in run and re.search(r"cuda|gpu", name)
    assert found >= 2
