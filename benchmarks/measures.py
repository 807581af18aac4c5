"""What `benchmarks.gpu` measures, most valuable first; each yields its findings as they come."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.compiler import time_layouts, time_steps
from benchmarks.drawn import drawn_heads
from benchmarks.memory import peak_memory, reset_peak
from benchmarks.options import dtype_name, shortened
from benchmarks.plain import WORKERS, PlainLoop, Terms, write_folders
from benchmarks.table import (
    ExperimentTiming,
    TableTiming,
    plain_seconds,
    plain_supports,
    time_engine,
)
from benchmarks.tuning import train_plain_head
from src.closure import ROOT
from src.config import Params
from src.errors import redacted
from src.training.cost import matrix_rate
from src.training.device import Compute
from src.training.engine import run_job
from src.training.heads import DivergedHead, try_heads
from src.training.job import StartingPoint, TrainingJob, make_features
from src.tune.objective import Objective

PLAIN_EPOCHS, BIT_EPOCHS = 2, 2
CHOSEN = "cuda or gpu"  # in the name of a test or of its parameter
Finding = tuple[str, dict[str, Any]]


@dataclass(frozen=True)
class Bench:
    """What is measured: experiments, data and device."""

    params: Params
    names: tuple[str, ...]
    starting_point: StartingPoint
    compute: Compute
    backend: str  # of torch.compile
    steps: int  # of each kind, where steps are timed

    def job(self, name: str, scratch: Path, epochs: int | None = None) -> TrainingJob:
        """The job of one experiment, of `epochs` epochs at most or of its own."""
        params = shortened(self.params, name, epochs) if epochs else self.params
        return TrainingJob.of(name, params, self.starting_point, scratch, compute=self.compute)


class MissingError(Exception):
    """What a measurement needs and this machine lacks."""


def measure_table(bench: Bench) -> Iterator[Finding]:
    """Every experiment by the engine and by the plain loop, then by that on the engine's terms.

    The engine trains after an untimed epoch; of the plain loop the first counts once. What fails
    leaves the others their turn.
    """
    rate = matrix_rate(bench.compute)
    yield "matrix", {"gflops": rate / 1e9, "workers_of_the_plain_loop": WORKERS}
    rows: list[ExperimentTiming] = []
    failed: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder)
        write_folders(bench.starting_point.faces, images)
        for name in bench.names:
            yield from _noting(failed, name, _row(bench, name, images, rate, rows))
        if not failed:
            dtype = dtype_name(bench.compute.dtype)
            whole = asdict(TableTiming.of(bench.compute.name, dtype, rows))
            shown = ("epochs", "seconds", "plain_seconds", "ratio")
            yield "all", {key: whole[key] for key in shown}
        for row in rows:
            yield from _noting(failed, row.experiment, _on_equal_terms(bench, row, images))
    if failed:
        raise RuntimeError("; ".join(failed))


def _noting(failed: list[str], name: str, findings: Iterator[Finding]) -> Iterator[Finding]:
    """The findings, and as another one the error that ended them."""
    try:
        yield from findings
    except Exception as error:  # whatever a driver may raise
        said = redacted(f"{type(error).__name__}: {error}")
        failed.append(f"{name}: {said}")
        yield f"{name} failed", {"said": said}


def _row(
    bench: Bench, name: str, images: Path, rate: float, rows: list[ExperimentTiming]
) -> Iterator[Finding]:
    """One experiment as soon as the engine has trained it, and once more with the plain loop."""
    with tempfile.TemporaryDirectory() as scratch:
        run_job(bench.job(name, Path(scratch), 1), lambda _epoch: None)
    with tempfile.TemporaryDirectory() as scratch:  # cold, as its arithmetic is counted
        row = time_engine(bench.job(name, Path(scratch)))
    share = row.flops / row.seconds / rate if row.flops else None
    yield name, {**asdict(row), "ratio": None, "share_of_matrix_rate": share}
    job = bench.job(name, images)
    if plain_supports(job):
        row = replace(row, plain_seconds=plain_seconds(job, images))
        yield name, {**asdict(row), "ratio": row.ratio, "share_of_matrix_rate": share}
    rows.append(row)


def _on_equal_terms(bench: Bench, row: ExperimentTiming, images: Path) -> Iterator[Finding]:
    """The plain loop in the engine's precision, with what is frozen computed once."""
    if row.plain_seconds is None:
        return
    job, tf32 = bench.job(row.experiment, images), torch.backends.cudnn.allow_tf32
    terms = Terms(bench.compute.dtype, cached=PlainLoop(job).frozen > 0, tf32=tf32)
    seconds = plain_seconds(job, images, terms)
    granted = {"plain_dtype": dtype_name(terms.dtype), "plain_cached": terms.cached}
    found = {"plain_seconds": seconds, "ratio": seconds / row.seconds, **granted}
    yield f"{row.experiment} on equal terms", {**found, "plain_tf32": tf32}


def measure_heads(bench: Bench) -> Iterator[Finding]:
    """Heads of the search space, in waves as the search trains them, and by a plain loop.

    None is pruned, so the search with its pruner takes less. The plain loop trains the same heads
    one after the other, projected from two epochs of each.
    """
    tune = bench.params.tune
    heads = drawn_heads(tune.space, tune.trials, bench.params.seed)
    with tempfile.TemporaryDirectory() as folder:
        any_job = TrainingJob.of(
            "heads",
            bench.params,
            bench.starting_point,
            Path(folder),
            experiment=heads[0].experiment(tune.epochs, tune.recipe),
            compute=bench.compute,
        )
        started = time.perf_counter()
        features = make_features(any_job).to(bench.compute.device)
    yield "features", {"seconds": time.perf_counter() - started}
    objective = Objective(bench.params, bench.starting_point, features, bench.compute)
    tasks = [objective.task(head) for head in heads]
    waves = [tasks[first : first + tune.wave] for first in range(0, len(tasks), tune.wave)]
    try_heads([replace(task, epochs=1) for task in waves[0]], features, objective.classes)
    reset_peak(bench.compute)
    started, best, diverged = time.perf_counter(), 0.0, 0
    for wave in waves:
        for result in try_heads(wave, features, objective.classes):
            if isinstance(result, DivergedHead):
                diverged += 1
            else:
                best = max(best, result.chosen.val_accuracy)
    seconds = time.perf_counter() - started
    peak = peak_memory(bench.compute)
    found = {"heads": len(heads), "wave": tune.wave, "epochs": tune.epochs, "seconds": seconds}
    found |= {"peak_memory_mb": peak, "val_accuracy": best, "diverged": diverged}
    yield "waves", found
    epochs = min(PLAIN_EPOCHS, tune.epochs)
    runs = (train_plain_head(head, objective, epochs) for head in heads)
    plain = sum(run.seconds(tune.epochs) for run in runs)
    yield "plain", {"seconds": plain, "projected_from": epochs, "ratio": plain / seconds}


def measure_bits(bench: Bench) -> Iterator[Finding]:
    """Whether two runs of each experiment, each from a cold cache, end in the same bits."""
    for name in bench.names:
        states = []
        for _ in range(2):
            with tempfile.TemporaryDirectory() as folder:
                job = bench.job(name, Path(folder), BIT_EPOCHS)
                states.append(run_job(job, lambda _epoch: None).state)
        one, two = states
        other = [key for key in one if not torch.equal(one[key], two[key])]
        epochs = job.experiment.epochs
        yield name, {"epochs": epochs, "identical": not other, "tensors_that_differ": other}


def measure_steps(bench: Bench) -> Iterator[Finding]:
    """Steps of the network that trains most: layouts, torch.compile, and its CUDA graphs."""
    with tempfile.TemporaryDirectory() as folder:
        jobs = [bench.job(name, Path(folder)) for name in bench.names]
        job = max(jobs, key=lambda job: ("all" in job.experiment.train, len(job.experiment.train)))
        yield "layouts", asdict(time_layouts(job, bench.steps))
        for mode in ("default", "reduce-overhead"):
            yield mode, asdict(time_steps(job, bench.steps, mode, bench.backend))


def measure_tests(_bench: Bench) -> Iterator[Finding]:
    """The tests of training that need a GPU, in a process of their own."""
    if importlib.util.find_spec("pytest") is None:
        raise MissingError("pytest is not installed")
    found = run_tests(gpu_test_files())
    yield "pytest", found
    if found["exit_code"]:
        raise RuntimeError(found["said"])


def gpu_test_files() -> list[Path]:
    """The files of tests/training that name the device."""
    files = sorted((ROOT / "tests/training").glob("test_*.py"))
    return [path for path in files if '"cuda"' in path.read_text(encoding="utf-8")]


def run_tests(paths: Sequence[Path]) -> dict[str, Any]:
    """pytest's exit code and last line.

    Without the conftest of all tests, which imports what only DVC's and MLflow's tests need.
    """
    chosen = CHOSEN
    if importlib.util.find_spec("sklearn") is None:
        chosen = f"({chosen}) and not svm"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--noconftest",
        "-p",
        "tests.training.conftest",
    ]
    done = subprocess.run(  # noqa: S603
        [*command, "-k", chosen, *paths],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.strip()]
    failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    last = (lines or done.stderr.splitlines() or [""])[-1]
    return {"exit_code": done.returncode, "said": last, "failed": failed}


# By name, with the share of the time left that it may take at most.
MEASURES: dict[str, tuple[Callable[[Bench], Iterator[Finding]], float]] = {
    "table": (measure_table, 0.7),
    "heads": (measure_heads, 0.5),
    "bits": (measure_bits, 0.5),
    "steps": (measure_steps, 0.8),
    "tests": (measure_tests, 1.0),
}
